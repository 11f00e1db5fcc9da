/** A link and its forwards in words and figures, as people read them. */

import type { Shapes } from '../../api/client'
import { absolute } from '../../time/format'
import { patternWord, pastWord, stateWord, tone, type Tone } from '../../words'

type RemoteHost = Shapes['RemoteHost']

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `512 B`, `4.2 KiB`, `130 MiB`: three digits at most. */
export function bytes(n: number): string {
  let step = 0
  let value = n
  while (value >= 999.5 && step < units.length - 1) {
    value /= 1024
    step++
  }
  return `${step > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${units[step]}`
}

type Standing = Pick<RemoteHost, 'state' | 'agent_online' | 'gone_at'>

/** Whether what was last said of a remote host may be true no longer, as its agent is not heard of. */
export function isSilent(host: Standing): boolean {
  return !host.agent_online && !host.gone_at && host.state !== 'stopped'
}

/** A state in its word and tone; one that nobody reports any more is past. */
export function stateNow(state: string, silent: boolean): { word: string; tone: Tone } {
  return silent ? { word: pastWord(state), tone: 'idle' } : { word: stateWord(state), tone: tone(state) }
}

/** How the link to a remote host is to be shown. */
export function linkNow(host: Standing): { word: string; tone: Tone } {
  return host.gone_at ? { word: 'Gone', tone: 'idle' } : stateNow(host.state, isSilent(host))
}

/** When the program that forwarded a remote host was stopped. */
export function stoppedAt(host: Pick<RemoteHost, 'agent_online' | 'agent_last_seen' | 'since'>): string {
  return host.agent_online ? host.since : host.agent_last_seen
}

/** What a person should look at: what it is, what speaks for it, and what to do. */
export interface Trouble {
  title: string
  seen: readonly string[]
  advice: readonly string[]
  grave: boolean
}

type Told = Standing & Pick<RemoteHost, 'address' | 'agent_name' | 'agent_last_seen' | 'diagnosis'>

/** What is wrong with a remote host now; nothing of what is over, or was stopped. */
export function troubleOf(host: Told): Trouble | null {
  if (host.gone_at || host.state === 'stopped') return null
  if (isSilent(host)) return silence(host)
  const { pattern, evidence, advice, now } = host.diagnosis
  if (pattern === 'healthy' || !now) return null
  const grave = host.state === 'blocked' || host.state === 'backoff'
  return { title: patternWord(pattern), seen: evidence, advice, grave }
}

function silence(host: Told): Trouble {
  return {
    title: `Nothing is heard of ${host.agent_name}`,
    seen: [
      `Its last word is of ${absolute(host.agent_last_seen)}, and it was not that it stops.`,
      'What stands here is from then. If it ended, nothing listens on these ports.',
    ],
    advice: [
      `On ${host.agent_name}, see whether it runs: mooring forward status`,
      `If it does not, start it there again, as it was started: mooring forward run ${host.address} …`,
      'If it does, it cannot reach this server: its log says why.',
    ],
    grave: false,
  }
}

/** What went wrong in the last hour and is over. */
export function lately(host: Told): readonly string[] {
  const { pattern, evidence, now } = host.diagnosis
  if (now || pattern === 'healthy' || host.gone_at || host.state === 'stopped' || isSilent(host)) return []
  return evidence.length ? evidence.map(capitalized) : [`In the last hour: ${patternWord(pattern).toLowerCase()}`]
}

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

/** `docker 28.0.1 at unix:///…`: the engine, and its socket where that is said. */
export function engineOf(docker: string): { name: string; place: string } {
  const at = docker.lastIndexOf(' at unix://')
  if (at < 0) return { name: docker, place: '' }
  const name = docker.slice(0, at)
  return { name: capitalized(name), place: docker.slice(at + 4) }
}

/** A round trip: `0.8 ms`, `12 ms`. */
export function ping(ms: number): string {
  return `${ms < 9.95 ? ms.toFixed(1) : ms.toFixed(0)} ms`
}

/** What of its forwards is to be said beside their number: `1 conflict`, `5 held`. */
export function remarks(counts: Readonly<Record<string, number>>): { text: string; tone: Tone }[] {
  const said: { text: string; tone: Tone }[] = []
  const conflicts = counts['conflict'] ?? 0
  if (conflicts) said.push({ text: conflicts === 1 ? '1 conflict' : `${conflicts} conflicts`, tone: 'bad' })
  if (counts['held']) said.push({ text: `${counts['held']} held`, tone: 'warn' })
  if (counts['unsupported']) said.push({ text: `${counts['unsupported']} unsupported`, tone: 'idle' })
  return said
}

/** Values that were counted by upper bounds: one count for each bound, and one for what is above. */
export interface Spread {
  bounds: readonly number[]
  counts: readonly number[]
}

/** The bound below which a share of the values lies; infinity when that is above the last one. */
export function within(spread: Spread, share: number): number | null {
  const all = spread.counts.reduce((sum, n) => sum + n, 0)
  if (!all) return null
  let seen = 0
  for (const [i, n] of spread.counts.entries()) {
    seen += n
    if (seen >= share * all) return spread.bounds[i] ?? Infinity
  }
  return Infinity
}
