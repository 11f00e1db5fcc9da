/** Where something that was found is shown, and how it looks in the list. */

import type { Shapes } from '../api/client'
import type { IconName } from '../ui/icons'

type Found = Pick<Shapes['Found'], 'kind' | 'id' | 'title' | 'host_id'>

const looks: Readonly<Record<string, { title: string; icon: IconName; path: (item: Found) => string | null }>> = {
  host: { title: 'Host', icon: 'host', path: ({ id }) => `/hosts/${id}` },
  subnet: { title: 'Subnet', icon: 'subnet', path: ({ id }) => `/subnets/${id}` },
  service: { title: 'Service', icon: 'service', path: ({ id }) => `/services/${encodeURIComponent(id)}` },
  container: { title: 'Container', icon: 'container', path: ({ title }) => `/containers?q=${encodeURIComponent(title)}` },
  port: { title: 'Port', icon: 'service', path: ({ host_id }) => (host_id ? `/hosts/${host_id}` : null) },
  agent: { title: 'Agent', icon: 'agent', path: ({ host_id }) => (host_id ? `/hosts/${host_id}` : '/agents') },
}

export function foundLook({ kind }: Found): { title: string; icon: IconName } {
  return looks[kind] ?? { title: kind, icon: 'question' }
}

export const foundPath = (item: Found): string | null => looks[item.kind]?.path(item) ?? null
