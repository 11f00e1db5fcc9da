/** The server's words for kinds and states, as people read them. Words it does not know it leaves. */

import type { Shapes } from './api/client'
import { elapsedMs } from './time/format'

const subnetKinds: Readonly<Record<string, string>> = {
  lan: 'LAN',
  loopback: 'Loopback',
  link_local: 'Link-local',
  vpn: 'VPN',
  docker_bridge: 'Docker bridge',
  podman_bridge: 'Podman bridge',
  virtual_bridge: 'Virtual bridge',
  macvlan: 'Macvlan',
  overlay: 'Overlay',
  point_to_point: 'Point to point',
  can: 'CAN bus',
  unknown: 'Unknown',
}

const interfaceKinds: Readonly<Record<string, string>> = {
  vlan: 'VLAN',
  vxlan: 'VXLAN',
  veth: 'Veth pair',
  tun: 'TUN',
  tap: 'TAP',
  wireguard: 'WireGuard',
  ppp: 'PPP',
  can: 'CAN',
  vcan: 'Virtual CAN',
  vxcan: 'VXCAN pair',
  vrf: 'VRF',
  macvlan: 'Macvlan',
  ipvlan: 'IPvlan',
  infiniband: 'InfiniBand',
}

const states: Readonly<Record<string, string>> = {
  lower_down: 'Lower layer down',
  up: 'Up',
  down: 'Down',
}

/** States that were so when somebody was last heard of. */
const pastStates: Readonly<Record<string, string>> = {
  backoff: 'Was without link',
  conflict: 'Was in conflict',
}

const entities: Readonly<Record<string, string>> = {
  can_bus: 'CAN bus',
  can_driver: 'CAN driver',
  set_aside: 'Item set aside',
}

const capabilities: Readonly<Record<string, string>> = {
  interfaces: 'Interfaces',
  containers: 'Containers',
}

const duties: Readonly<Record<string, string>> = {
  discovery: 'Looks at its machine',
  forward: 'Forwards ports',
  can: 'Wires CAN buses',
  scan: 'Scans networks',
}

const summaries: Readonly<Record<string, string>> = {
  set_aside: 'Items set aside',
  machine_set_aside: 'Items of the machine set aside',
  containers_set_aside: 'Items of containers set aside',
}

/** `docker_bridge` becomes `Docker bridge`. */
function plain(word: string): string {
  const spaced = word.replaceAll('_', ' ')
  return spaced.charAt(0).toUpperCase() + spaced.slice(1)
}

export const subnetKind = (kind: string) => subnetKinds[kind] ?? plain(kind)
export const interfaceKind = (kind: string) => interfaceKinds[kind] ?? plain(kind)
export const stateWord = (state: string) => states[state] ?? plain(state)
export const pastWord = (state: string) => pastStates[state] ?? `Was ${state.replaceAll('_', ' ')}`
export const entityWord = (entity: string) => entities[entity] ?? plain(entity)
export const capabilityWord = (name: string) => capabilities[name] ?? plain(name)
export const dutyWord = (name: string) => duties[name] ?? plain(name)
export const summaryWord = (name: string) => summaries[name] ?? plain(name)

/** `8 interfaces`, `1 container`, `1 item set aside`. */
export function counted(name: string, n: number): string {
  if (name.endsWith('set_aside')) return n === 1 ? '1 item set aside' : `${n} items set aside`
  const word = summaryWord(name).toLowerCase()
  if (n !== 1) return `${n} ${word}`
  return `1 ${word.endsWith('sses') ? word.slice(0, -2) : word.replace(/s$/, '')}`
}

const patterns: Readonly<Record<string, string>> = {
  docker_not_answering: 'Docker does not answer',
}

/** What is wrong with a link: `Network interruption`. */
export const patternWord = (pattern: string) => patterns[pattern] ?? plain(pattern)

const links: Readonly<Record<string, string>> = {
  connecting: 'logging in',
  verifying: 'logged in; Docker is looked for',
  syncing: 'Docker answers; its containers are listed',
  suspect: 'something failed; it is tried what',
  backoff: 'lost; it is tried again',
  blocked: 'a person must act',
}

/** What the state of a link means; nothing of those that say it themselves. */
export const linkSentence = (state: string) => links[state] ?? ''

const moments: Readonly<Record<string, string>> = {
  opened: 'Forward opened',
  closed: 'Forward closed',
  retargeted: 'Forward leads elsewhere',
  conflict: 'Conflict',
  link_live: 'Link live',
  link_lost: 'Link lost',
  link_blocked: 'Link blocked',
  stopped: 'Stopped',
}

/** Something that happened to a link or a forward: `Link lost`. */
export const momentWord = (what: string) => moments[what] ?? plain(what)

export function momentTone(what: string): Tone {
  if (what === 'opened' || what === 'link_live') return 'good'
  if (what === 'conflict' || what === 'link_blocked') return 'bad'
  return what === 'link_lost' ? 'warn' : 'idle'
}

export const triggerWord = (trigger: string) =>
  ({ start: 'agent started', request: 'asked for', schedule: 'schedule' })[trigger] ?? plain(trigger).toLowerCase()

/** A word within a sentence; an abbreviation stays as it is. */
const within = (word: string) => (/^[A-Z]{2}/.test(word) ? word : word.charAt(0).toLowerCase() + word.slice(1))

/** What befell a thing: `New host`, `Host changed`, `Host gone`. */
export function eventWord(entity: string, operation: string): string {
  const thing = entityWord(entity)
  if (operation === 'created') return `New ${within(thing)}`
  return `${thing} ${operation === 'deleted' ? 'gone' : operation}`
}

export function eventTone(operation: string): Tone {
  if (operation === 'created') return 'good'
  return operation === 'deleted' ? 'warn' : 'idle'
}

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle'

/** How a state is to be felt; shown as a colour beside the word, never instead of it. */
export function tone(state: string): Tone {
  switch (state) {
    case 'up':
    case 'online':
    case 'complete':
    case 'running':
    case 'healthy':
    case 'answered':
    case 'reachable':
    case 'live':
    case 'listening':
      return 'good'
    case 'pending':
    case 'starting':
    case 'restarting':
    case 'connecting':
    case 'verifying':
    case 'syncing':
      return 'busy'
    case 'paused':
    case 'lower_down':
    case 'dormant':
    case 'denied':
    case 'stale':
    case 'suspect':
    case 'backoff':
    case 'held':
      return 'warn'
    case 'failed':
    case 'unhealthy':
    case 'dead':
    case 'timed_out':
    case 'broken':
    case 'refused':
    case 'blocked':
    case 'conflict':
      return 'bad'
    default:
      return 'idle'
  }
}

const engineNames: Readonly<Record<string, string>> = { docker: 'Docker', podman: 'Podman' }

/** How an engine answered, as a sentence. */
export function engineSentence(engine: Shapes['Engine']): string {
  const name = engine.kind ? (engineNames[engine.kind] ?? engine.kind) : 'The container engine'
  switch (engine.state) {
    case 'answered':
      return `${name}${engine.version ? ` ${engine.version}` : ''} answered in ${elapsedMs(engine.elapsed_ms)}.`
    case 'absent':
      return 'No container engine: there is no socket here.'
    case 'refused':
      return `${name} is stopped: the socket is there, but nobody listens.`
    case 'denied':
      return `The agent may not open the socket.`
    case 'timed_out':
      return `${name} took the connection and did not answer within ${elapsedMs(engine.elapsed_ms)}.`
    case 'broken':
      return `${name} answered, but not as an engine does.`
    default:
      return plain(engine.state)
  }
}
