/** The map as rows of a table, and the search in it. */

import { BUS } from './buses'
import type { MapData } from './layout'

export type RowType = 'subnet' | 'bus' | 'host' | 'service' | 'container'

export interface MapRow {
  id: string
  type: RowType
  label: string
  /** A subnet's kind; `agent` or `host`; a workload's category. */
  kind: string
  /** A host's subnets and buses, a subnet's number of hosts, the host of a bus or of a workload. */
  about: string
  /** What it is found by beside its label. */
  also?: string
}

/** Subnets first, then hosts, then what runs on them, each sorted as people sort: `web-2` before `web-10`. */
export function rows(map: MapData): MapRow[] {
  const count = new Map<string, number>()
  for (const host of map.hosts) for (const id of host.subnet_ids) count.set(id, (count.get(id) ?? 0) + 1)
  const label = new Map(map.subnets.map((s) => [s.id, s.label]))
  const collator = new Intl.Collator('en', { numeric: true })
  const name = new Map(map.hosts.map((h) => [h.id, h.label]))
  const subnets = map.subnets.map((s): MapRow => {
    if (s.kind === BUS) return { id: s.id, type: 'bus', label: s.label, kind: s.kind, about: name.get(s.host_id ?? '') ?? '' }
    const n = count.get(s.id) ?? 0
    return { id: s.id, type: 'subnet', label: s.label, kind: s.kind, about: n === 1 ? '1 host' : `${n} hosts` }
  })
  const hosts = map.hosts.map((h): MapRow => {
    const at = h.subnet_ids.flatMap((id) => label.get(id) ?? [])
    return { id: h.id, type: 'host', label: h.label, kind: h.agent ? 'agent' : 'host', about: at.join(', ') }
  })
  const work = (map.workloads ?? []).flatMap((w): MapRow[] => {
    const about = name.get(w.host_id)
    return about === undefined ? [] : [{ id: w.id, type: w.kind, label: w.label, kind: w.category, about, also: w.service }]
  })
  const byLabel = (a: MapRow, b: MapRow) => collator.compare(a.label, b.label)
  return [...subnets.sort(byLabel), ...hosts.sort(byLabel), ...work.sort(byLabel)]
}

/** What the node with this id is; undefined when the map does not show it. */
export function typeOf(map: MapData, id: string): RowType | undefined {
  if (map.hosts.some((h) => h.id === id)) return 'host'
  const subnet = map.subnets.find((s) => s.id === id)
  if (subnet) return subnet.kind === BUS ? 'bus' : 'subnet'
  return map.workloads?.find((w) => w.id === id)?.kind
}

/** The rows whose label (or service) holds `text`, those that begin with it first; all of them for no text. */
export function find(all: MapRow[], text: string): MapRow[] {
  const wanted = text.trim().toLowerCase()
  if (!wanted) return all
  const begins: MapRow[] = []
  const holds: MapRow[] = []
  for (const row of all) {
    const at = row.label.toLowerCase().indexOf(wanted)
    if (at === 0) begins.push(row)
    else if (at > 0 || row.also?.includes(wanted)) holds.push(row)
  }
  return [...begins, ...holds]
}

/** What a category of workloads is called among the kinds that can be left out. */
export const ofCategory = (category: string) => `runs:${category}`

/** The map without the subnets of some kinds, without buses, without some categories of workloads. */
export function without(map: MapData, kinds: ReadonlySet<string>): MapData {
  if (!kinds.size) return map
  const subnets = map.subnets.filter((s) => !kinds.has(s.kind))
  return { ...map, subnets, ...(map.workloads && { workloads: map.workloads.filter((w) => !kinds.has(ofCategory(w.category))) }) }
}

/** How many subnets there are of each kind, the most common first. */
export function kinds(map: MapData): { kind: string; count: number }[] {
  const count = new Map<string, number>()
  for (const { kind } of map.subnets) count.set(kind, (count.get(kind) ?? 0) + 1)
  return [...count].map(([kind, n]) => ({ kind, count: n })).sort((a, b) => b.count - a.count || (a.kind < b.kind ? -1 : 1))
}

/** How many workloads there are of each category, the most common first. */
export function categories(map: MapData): { category: string; count: number }[] {
  const count = new Map<string, number>()
  for (const { category } of map.workloads ?? []) count.set(category, (count.get(category) ?? 0) + 1)
  return [...count].map(([category, n]) => ({ category, count: n })).sort((a, b) => b.count - a.count || (a.category < b.category ? -1 : 1))
}
