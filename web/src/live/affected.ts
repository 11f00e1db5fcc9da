/**
 * Decides which of the page's queries an event concerns: a change and a query's key in, yes or no
 * out. In doubt yes: a refetch too many costs little, one too few shows something untrue.
 */

/** The data of the stream's `changed` message. */
export interface Changed {
  entity: string
  operation: string
  /** Null when many changed at once. */
  id: string | null
  network_id: string | null
}

/** A query's key: the noun (plural for a list) and what it was asked with. */
export type Key = readonly [noun: string, asked: Readonly<Record<string, unknown>>]

/** Which nouns' answers are made of which entities. */
const madeOf: Readonly<Record<string, readonly string[]>> = {
  networks: ['network'],
  'network-list': ['network', 'host', 'subnet', 'agent', 'key'],
  subnets: ['subnet', 'host', 'interface'],
  subnet: ['subnet', 'host', 'interface'],
  hosts: ['host', 'interface', 'port', 'container', 'subnet', 'agent'],
  host: ['host', 'interface', 'port', 'container', 'subnet', 'agent', 'set_aside'],
  interfaces: ['interface', 'host'],
  routes: ['host', 'interface'],
  neighbours: ['host', 'interface'],
  containers: ['container', 'port', 'host'],
  ports: ['port', 'container', 'host'],
  services: ['port', 'container', 'host'],
  workloads: ['port', 'container', 'host'],
  'set-aside': ['set_aside', 'host', 'report'],
  agents: ['agent', 'report', 'key'],
  agent: ['agent', 'report', 'key'],
  runs: ['run', 'agent'],
  run: ['run', 'agent'],
  'run-lines': ['run', 'run_line'],
  schedules: ['schedule', 'run', 'agent'],
  reports: ['report', 'agent'],
  keys: ['key', 'agent', 'user'],
  users: ['user', 'session'],
  user: ['user', 'session'],
  sessions: ['session', 'user'],
  session: ['user'],
  map: ['host', 'subnet', 'interface', 'agent'],
  'remote-hosts': ['remote_host', 'forward', 'agent'],
  'remote-host': ['remote_host', 'forward', 'agent'],
  forwards: ['forward', 'remote_host', 'agent'],
  'link-history': ['remote_host', 'forward'],
  'can-buses': ['can_bus', 'agent'],
  'can-bus': ['can_bus', 'agent'],
  'can-recoveries': ['can_bus', 'can_driver', 'agent'],
  'can-drivers': ['can_driver', 'can_bus', 'agent'],
}

/** Nouns that a query asks for by id, and the entities whose events carry that id. */
const single: Readonly<Record<string, readonly string[]>> = {
  subnet: ['subnet'],
  host: ['host'],
  agent: ['agent'],
  run: ['run'],
  'run-lines': ['run', 'run_line'],
  'remote-host': ['remote_host'],
  'link-history': ['remote_host'],
  'can-bus': ['can_bus'],
}

/** Entities that have lists of their own. */
const owners: ReadonlySet<string> = new Set(['host', 'remote_host', 'can_bus'])

/** Whether the answer to the query with this key may have changed. */
export function affects(change: Changed, key: Key): boolean {
  const [noun, asked] = key
  const network = asked['network_id']
  if (network && change.network_id && network !== change.network_id) return false
  if (noun === 'timeline' || noun === 'audit') return true
  if (!madeOf[noun]?.includes(change.entity)) return false
  if (change.id === null) return true
  if (single[noun]?.includes(change.entity)) return asked['id'] === change.id
  // A list that belongs to one of them: news of another is none of its concern.
  const owner = asked[`${change.entity}_id`]
  if (owner && owners.has(change.entity)) return owner === change.id
  return true
}
