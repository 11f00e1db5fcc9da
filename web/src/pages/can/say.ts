/** A CAN bus, its endpoints and what was mended, as people read them. */

import type { Shapes } from '../../api/client'
import type { Tone } from '../../words'

type Bus = Shapes['CanBus']
type Endpoint = Shapes['CanEndpoint']
interface Said {
  word: string
  tone: Tone
}

type Heard = Pick<Bus, 'agent_online' | 'gone_at'>
type Standing = Heard & Pick<Bus, 'condition' | 'state'>

/** Whether what was last said of a bus may be true no longer, as its agent is not heard of. */
export function isSilent(bus: Heard): boolean {
  return !bus.agent_online && !bus.gone_at
}

const controllers: Readonly<Record<string, Said>> = {
  'bus-off': { word: 'Bus off', tone: 'bad' },
  passive: { word: 'Error passive', tone: 'warn' },
  warning: { word: 'Error warning', tone: 'warn' },
  stopped: { word: 'Stopped', tone: 'warn' },
  sleeping: { word: 'Sleeping', tone: 'idle' },
}

/** How a bus is; one that nobody reports any more is past. */
export function busNow(bus: Standing): Said {
  if (bus.gone_at) return { word: 'Gone', tone: 'idle' }
  const said = standing(bus)
  return isSilent(bus) ? { word: `Was ${said.word.toLowerCase()}`, tone: 'idle' } : said
}

function standing(bus: Standing): Said {
  if (bus.condition === 'missing') return { word: 'Missing', tone: 'bad' }
  if (bus.condition === 'down') return { word: 'Down', tone: 'bad' }
  const healthy = bus.condition === 'healthy'
  return controllers[bus.state] ?? (healthy ? { word: 'Up', tone: 'good' } : { word: 'Faulty', tone: 'bad' })
}

/** Whether frames do not get where they should, as far as is known now. */
export function isBroken(bus: Heard & Pick<Bus, 'condition'>): boolean {
  return !bus.gone_at && bus.agent_online && bus.condition !== 'healthy'
}

const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

/** `0`, `81,204`, `1.24M`. */
export function frames(n: number): string {
  return n < 1_000_000 ? whole.format(n) : short.format(n)
}

export const exactly = (n: number) => `${whole.format(n)} ${n === 1 ? 'frame' : 'frames'}`

const accesses: Readonly<Record<string, string>> = { rw: 'Hears and sends', ro: 'Only hears', wo: 'Only sends' }

/** What a container may do on the bus. */
export const accessWord = (access: string) => accesses[access] ?? access

/** How a container's place on the bus is. */
export function endpointNow(of: Pick<Endpoint, 'state' | 'interface'>, silent: boolean): Said {
  const said = placed(of)
  return silent ? { word: `Was ${said.word.toLowerCase()}`, tone: 'idle' } : said
}

function placed(of: Pick<Endpoint, 'state' | 'interface'>): Said {
  if (!of.interface) return { word: 'Missing', tone: 'bad' }
  if (of.state === 'joined') return { word: 'Joined', tone: 'good' }
  return of.state === 'joining' ? { word: 'Joining', tone: 'busy' } : { word: 'Not joined', tone: 'idle' }
}

const mended: Readonly<Record<string, string>> = {
  network: 'Network known again',
  device: 'Bus made again',
  endpoint: 'Endpoint known again',
  pair: 'Endpoint’s interfaces made again',
  rules: 'Rules made again',
  leftover: 'Leftover taken away',
}

/** What was missing and was made again. */
export const recoveryWord = (kind: string) => mended[kind] ?? kind

/** An id as Docker shows it; a name as it is. */
export const shortId = (id: string) => (/^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id)

type Finding = Shapes['CanFinding']

/** What is wrong, the graver first, and what has the same remedy together. */
export function byRemedy(findings: readonly Finding[]): { remedy: string; grave: boolean; of: Finding[] }[] {
  const found = new Map<string, Finding[]>()
  for (const one of findings) found.set(one.remedy, [...(found.get(one.remedy) ?? []), one])
  const isGrave = (one: Finding) => one.weight === 'error'
  const groups = [...found].map(([remedy, of]) => ({ remedy, grave: of.some(isGrave), of }))
  return groups.sort((a, b) => Number(b.grave) - Number(a.grave))
}

type Driver = Shapes['CanDriver']

/** Whether a machine's driver answers Docker. */
export function driverNow(of: Pick<Driver, 'version' | 'agent_online'>): Said {
  if (!of.agent_online) return { word: of.version ? `Answered, ${of.version}` : 'Did not answer', tone: 'idle' }
  return of.version ? { word: `Answers, ${of.version}`, tone: 'good' } : { word: 'Does not answer', tone: 'bad' }
}

/** How many calls there were; or only of those that failed. */
export function sum(calls: readonly { ok: boolean; count: number }[], failed = false): number {
  return calls.reduce((all, one) => all + (failed && one.ok ? 0 : one.count), 0)
}
