import { expect, test } from 'vitest'
import { withBuses } from './buses'
import type { MapData } from './layout'
import { rows } from './rows'

const map: MapData = {
  subnets: [{ id: 'lan', label: '10.0.0.0/24', kind: 'lan', host_id: null }],
  hosts: [
    { id: 'h1', label: 'rig-01', agent: true, subnet_ids: ['lan'] },
    { id: 'h2', label: 'rig-02', agent: true, subnet_ids: ['lan'] },
  ],
}
const bus = { id: 'b', device: 'can0', host_id: 'h1' as string | null, agent_name: 'rig-01', gone_at: null as string | null }

test('a bus is joined to its host and to nothing else', () => {
  const all = withBuses(map, [bus])
  expect(all.subnets.at(-1)).toEqual({ id: 'b', label: 'can0', kind: 'can', host_id: 'h1' })
  expect(all.hosts.map((host) => host.subnet_ids)).toEqual([['lan', 'b'], ['lan']])
  expect(map.hosts[0]?.subnet_ids).toEqual(['lan'])
})

test('a bus of a host that the map does not show stands alone and says where it is', () => {
  const [, found] = withBuses(map, [{ ...bus, host_id: null }]).subnets
  expect(found).toMatchObject({ label: 'can0 on rig-01', host_id: null })
})

test('a bus that is gone is not on the map', () => {
  expect(withBuses(map, [{ ...bus, gone_at: '2026-11-21T12:00:00Z' }])).toBe(map)
})

test('in the table a bus is a bus and names its host', () => {
  expect(rows(withBuses(map, [bus])).find((row) => row.id === 'b')).toMatchObject({ type: 'bus', about: 'rig-01' })
})
