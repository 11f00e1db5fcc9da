/** A link and its forwards in words and figures, as people read them. */

import type { Shapes } from '../../api/client'
import { stateWord, tone, type Tone } from '../../words'

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

/** How a link is to be shown: what was last said of it is past while nobody reports it. */
export function linkNow(host: Pick<RemoteHost, 'state' | 'agent_online' | 'gone_at'>): { word: string; tone: Tone } {
  if (host.gone_at) return { word: 'Gone', tone: 'idle' }
  if (host.agent_online || host.state === 'stopped') return { word: stateWord(host.state), tone: tone(host.state) }
  return { word: `Was ${host.state}`, tone: 'idle' }
}

/** `docker 28.0.1 at unix:///…`: the engine, and its socket where that is said. */
export function engineOf(docker: string): { name: string; place: string } {
  const at = docker.lastIndexOf(' at unix://')
  if (at < 0) return { name: docker, place: '' }
  const name = docker.slice(0, at)
  return { name: name.charAt(0).toUpperCase() + name.slice(1), place: docker.slice(at + 4) }
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
