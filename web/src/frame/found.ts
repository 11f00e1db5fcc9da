/** Where something that was found is shown, and how it looks in the list. */

import type { Shapes } from '../api/client'
import type { IconName } from '../ui/icons'

type Kind = Shapes['Found']['kind']
type Found = Pick<Shapes['Found'], 'kind' | 'id' | 'title' | 'host_id'>

const looks: Readonly<Record<Kind, { title: string; icon: IconName; path: (item: Found) => string | null }>> = {
  host: { title: 'Hosts', icon: 'host', path: ({ id }) => `/hosts/${id}` },
  subnet: { title: 'Subnets', icon: 'subnet', path: ({ id }) => `/subnets/${id}` },
  service: { title: 'Services', icon: 'service', path: ({ id }) => `/services/${encodeURIComponent(id)}` },
  container: { title: 'Containers', icon: 'container', path: ({ title }) => `/containers?q=${encodeURIComponent(title)}` },
  port: { title: 'Ports', icon: 'service', path: ({ title, host_id }) => (host_id ? `/hosts/${host_id}?q=${parseInt(title)}` : null) },
  schedule: { title: 'Schedules', icon: 'schedule', path: ({ title }) => `/schedules?q=${encodeURIComponent(title)}` },
  agent: { title: 'Agents', icon: 'agent', path: ({ host_id }) => (host_id ? `/hosts/${host_id}` : '/agents') },
}

export const foundLook = (kind: Kind): { title: string; icon: IconName } => looks[kind]

export const foundPath = (item: Found): string | null => looks[item.kind].path(item)

/** What was found, by kind, in the order in which the kinds came; each with its place in the whole. */
export function grouped<Item extends { kind: Kind }>(items: readonly Item[]): { kind: Kind; items: { item: Item; at: number }[] }[] {
  const groups = new Map<Kind, { item: Item; at: number }[]>()
  items.forEach((item, at) => {
    const group = groups.get(item.kind)
    if (group) group.push({ item, at })
    else groups.set(item.kind, [{ item, at }])
  })
  return [...groups].map(([kind, of]) => ({ kind, items: of }))
}
