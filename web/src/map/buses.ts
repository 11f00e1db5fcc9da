/** CAN buses on the map: a map and buses in, a map on which each bus stands at its host out. */

import type { Shapes } from '../api/client'
import type { MapData } from './layout'

/** What the map calls a bus among its kinds of subnets. */
export const BUS = 'can'

type Bus = Pick<Shapes['CanBus'], 'id' | 'device' | 'host_id' | 'agent_name' | 'gone_at'>

export function withBuses(map: MapData, buses: readonly Bus[]): MapData {
  const present = buses.filter((bus) => !bus.gone_at)
  if (!present.length) return map
  const known = new Set(map.hosts.map((host) => host.id))
  const at = new Map<string, string[]>()
  const added = present.map((bus) => {
    const host = bus.host_id !== null && known.has(bus.host_id) ? bus.host_id : null
    if (host !== null) at.set(host, [...(at.get(host) ?? []), bus.id])
    return { id: bus.id, label: host ? bus.device : `${bus.device} on ${bus.agent_name}`, kind: BUS, host_id: host }
  })
  return {
    subnets: [...map.subnets, ...added],
    hosts: map.hosts.map((host) => {
      const its = at.get(host.id)
      return its ? { ...host, subnet_ids: [...host.subnet_ids, ...its] } : host
    }),
  }
}
