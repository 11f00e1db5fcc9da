/** Every question that the page asks: what it is asked with in, a query (key and fetch) out. */

import { queryOptions } from '@tanstack/svelte-query'
import { api, ask, type Shapes } from './client'

/** What every list can be asked with. */
export interface ListQuery {
  limit?: number
  cursor?: string
  sort?: string
  q?: string
}

export interface Page<Item> {
  items: Item[]
  next: string | null
  total: number
}

type InNetwork = ListQuery & { network_id: string }
type OfHost = ListQuery & { host_id: string }

export const networks = () =>
  queryOptions({
    queryKey: ['networks', {}] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/networks', { params: { query: { limit: 1000, sort: 'name' } }, signal })),
  })

export const map = (network_id: string) =>
  queryOptions({
    queryKey: ['map', { network_id }] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/map', { params: { query: { network_id } }, signal })),
  })

export const subnets = (query: InNetwork) =>
  queryOptions({
    queryKey: ['subnets', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/subnets', { params: { query }, signal })),
  })

export const subnet = (id: string) =>
  queryOptions({
    queryKey: ['subnet', { id }] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/subnets/{subnet_id}', { params: { path: { subnet_id: id } }, signal })),
  })

/** The subnets with these ids, to name what another answer only points at. */
export const subnetsById = (ids: string[]) =>
  queryOptions({
    queryKey: ['subnets', { ids: [...new Set(ids)].sort().join(',') }] as const,
    queryFn: ({ signal, queryKey: [, asked] }) =>
      ask(api.GET('/api/v1/subnets', { params: { query: { ids: asked.ids, limit: 1000 } }, signal })),
    enabled: ids.length > 0,
  })

export const hosts = (query: InNetwork & { subnet_id?: string }) =>
  queryOptions({
    queryKey: ['hosts', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/hosts', { params: { query }, signal })),
  })

export const host = (id: string) =>
  queryOptions({
    queryKey: ['host', { id }] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/hosts/{host_id}', { params: { path: { host_id: id } }, signal })),
  })

export const interfaces = (query: OfHost) =>
  queryOptions({
    queryKey: ['interfaces', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/interfaces', { params: { query }, signal })),
  })

export const routes = (query: OfHost) =>
  queryOptions({
    queryKey: ['routes', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/routes', { params: { query }, signal })),
  })

export const neighbours = (query: OfHost) =>
  queryOptions({
    queryKey: ['neighbours', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/neighbours', { params: { query }, signal })),
  })

export interface ContainerFilter {
  network_id?: string
  host_id?: string
  service?: string
}

export const containers = (query: ListQuery & ContainerFilter) =>
  queryOptions({
    queryKey: ['containers', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/containers', { params: { query }, signal })),
  })

export interface PortFilter {
  network_id?: string
  host_id?: string
  service?: string
  container_id?: string
  gone?: boolean
}

export const ports = (query: ListQuery & PortFilter) =>
  queryOptions({
    queryKey: ['ports', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/ports', { params: { query }, signal })),
  })

/** Which services there are, and on how many hosts. */
export const services = (query: InNetwork & { ids?: string }) =>
  queryOptions({
    queryKey: ['services', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/services', { params: { query }, signal })),
  })

export const workloads = (network_id: string) =>
  queryOptions({
    queryKey: ['workloads', { network_id }] as const,
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/map/workloads', { params: { query: { network_id } }, signal })),
  })

export const search = (query: { network_id: string; q: string; limit?: number }) =>
  queryOptions({
    queryKey: ['search', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/search', { params: { query }, signal })),
    enabled: query.q !== '',
    gcTime: 0,
  })

export const setAside = (query: OfHost) =>
  queryOptions({
    queryKey: ['set-aside', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/set-aside', { params: { query }, signal })),
  })

export const agents = (query: InNetwork) =>
  queryOptions({
    queryKey: ['agents', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/agents', { params: { query }, signal })),
  })

export const agent = (id: string) =>
  queryOptions({
    queryKey: ['agent', { id }] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/agents/{agent_id}', { params: { path: { agent_id: id } }, signal })),
  })

export const runs = (query: InNetwork & { agent_id?: string; state?: Shapes['Run']['state'] }) =>
  queryOptions({
    queryKey: ['runs', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/runs', { params: { query }, signal })),
  })

export const run = (id: string) =>
  queryOptions({
    queryKey: ['run', { id }] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/runs/{run_id}', { params: { path: { run_id: id } }, signal })),
  })

/** The run's story, the newest line first. */
export const runLines = (id: string, limit: number) =>
  queryOptions({
    queryKey: ['run-lines', { id, limit }] as const,
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/runs/{run_id}/lines', { params: { path: { run_id: id }, query: { limit, sort: '-at' } }, signal })),
  })

export const schedules = (query: InNetwork) =>
  queryOptions({
    queryKey: ['schedules', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/schedules', { params: { query }, signal })),
  })

/** What the server makes of a cron line: in words, and when it comes next. */
export const cronReading = (cron: string, timezone: string) =>
  queryOptions({
    queryKey: ['cron', { cron, timezone }] as const,
    queryFn: ({ signal }) =>
      ask(api.POST('/api/v1/schedules/preview', { body: { cron, timezone }, signal })),
    gcTime: 0,
  })

export const timeline = (query: InNetwork & { entity_id?: string }) =>
  queryOptions({
    queryKey: ['timeline', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/timeline', { params: { query }, signal })),
  })

/** Of a site: all, or an agent's; those that are forwarded, or that are no longer. */
export interface RemoteHostFilter {
  agent_id?: string
  gone?: boolean
}

export const remoteHosts = (query: InNetwork & RemoteHostFilter) =>
  queryOptions({
    queryKey: ['remote-hosts', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/remote-hosts', { params: { query }, signal })),
  })

export const remoteHost = (id: string) =>
  queryOptions({
    queryKey: ['remote-host', { id }] as const,
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/remote-hosts/{remote_host_id}', { params: { path: { remote_host_id: id } }, signal })),
  })

export interface ForwardFilter {
  network_id?: string
  ids?: string
  remote_host_id?: string
  state?: Shapes['Forward']['state']
  protocol?: Shapes['Forward']['protocol']
}

export const forwards = (query: ListQuery & ForwardFilter) =>
  queryOptions({
    queryKey: ['forwards', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/forwards', { params: { query }, signal })),
  })

export const linkHistory = (id: string, query: ListQuery) =>
  queryOptions({
    queryKey: ['link-history', { id, ...query }] as const,
    queryFn: ({ signal }) =>
      ask(
        api.GET('/api/v1/remote-hosts/{remote_host_id}/history', {
          params: { path: { remote_host_id: id }, query },
          signal,
        }),
      ),
  })

/** Of a site: all, or an agent's; those that are there, or that are no longer. */
export interface CanFilter {
  agent_id?: string
  gone?: boolean
}

export const canBuses = (query: InNetwork & CanFilter) =>
  queryOptions({
    queryKey: ['can-buses', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/can-buses', { params: { query }, signal })),
  })

export const canBus = (id: string) =>
  queryOptions({
    queryKey: ['can-bus', { id }] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/can-buses/{can_bus_id}', { params: { path: { can_bus_id: id } }, signal })),
  })

export const canRecoveries = (query: InNetwork & { can_bus_id?: string }) =>
  queryOptions({
    queryKey: ['can-recoveries', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/can-recoveries', { params: { query }, signal })),
  })

export const canDrivers = (query: InNetwork) =>
  queryOptions({
    queryKey: ['can-drivers', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/can-drivers', { params: { query }, signal })),
  })

export const startRun = (draft: Shapes['RunRequest']): Promise<Shapes['Run']> => ask(api.POST('/api/v1/runs', { body: draft }))

export const addSchedule = (draft: Shapes['ScheduleDraft']): Promise<Shapes['Schedule']> => ask(api.POST('/api/v1/schedules', { body: draft }))

export const changeSchedule = (id: string, change: Shapes['ScheduleChange']): Promise<Shapes['Schedule']> =>
  ask(api.PATCH('/api/v1/schedules/{schedule_id}', { params: { path: { schedule_id: id } }, body: change }))

export const deleteSchedule = (id: string) =>
  ask(api.DELETE('/api/v1/schedules/{schedule_id}', { params: { path: { schedule_id: id } } }))

export const lookNow = (agent_id: string): Promise<Shapes['Run']> =>
  startRun({ agent_id, kind: 'look', targets: [], depth: 'light' })

export const cancelRun = (id: string): Promise<Shapes['Run']> =>
  ask(api.POST('/api/v1/runs/{run_id}/cancel', { params: { path: { run_id: id } } }))

export const renameHost = (id: string, name: string | null): Promise<Shapes['Host']> =>
  ask(api.PATCH('/api/v1/hosts/{host_id}', { params: { path: { host_id: id } }, body: { name } }))

export const forgetHost = (id: string) => ask(api.DELETE('/api/v1/hosts/{host_id}', { params: { path: { host_id: id } } }))

export const forgetRemoteHost = (id: string) =>
  ask(api.DELETE('/api/v1/remote-hosts/{remote_host_id}', { params: { path: { remote_host_id: id } } }))
