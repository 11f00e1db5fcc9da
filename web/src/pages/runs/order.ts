/** What a run shall do, in words: targets as a person types them in, sentences out. */

import type { Shapes } from '../../api/client'
import type { Problem } from '../../api/problem'

export type Depth = Shapes['Order']['depth']
export type Kind = Shapes['Run']['kind']

export interface DepthChoice {
  depth: Depth
  title: string
  what: string
}

export const depths: readonly DepthChoice[] = [
  { depth: 'none', title: 'Who is there', what: 'Finds the hosts. No port is tried.' },
  { depth: 'light', title: 'Usual ports', what: 'Finds the hosts, the ports on which services are usually found, and what is behind them.' },
  { depth: 'full', title: 'All ports', what: 'Tries all 65,535 ports of every host that is found. Thorough, and slower.' },
]

/** `10.0.0.0/24, 10.0.1.7` on one line or several: one text for each. */
export function splitTargets(text: string): string[] {
  return [...new Set(text.split(/[\s,;]+/).filter(Boolean))]
}

/** How many addresses the targets hold, as far as they are IPv4; null when one of them is not. */
export function addressCount(targets: readonly string[]): number | null {
  let count = 0
  for (const target of targets) {
    const found = /^\d+\.\d+\.\d+\.\d+(?:\/(\d+))?$/.exec(target)
    const prefix = Number(found?.[1] ?? 32)
    if (!found || prefix > 32) return null
    count += 2 ** (32 - prefix)
  }
  return count
}

const number = new Intl.NumberFormat('en')

/** `10.1.0.0/24`, `10.1.0.0/24 and 10.2.0.0/24`, `3 networks`; none are the networks it is attached to. */
export function targetWords(targets: readonly string[], attached = 'its own networks'): string {
  if (!targets.length) return attached
  if (targets.length <= 2) return targets.map((t) => t.replace(/\/(32|128)$/, '')).join(' and ')
  return `${targets.length} networks`
}

/** `Scan of 10.1.0.0/24`, `Look at its machine`. */
export function kindWords(run: { kind: Kind; order: Shapes['Order'] | null }): string {
  return run.kind === 'scan' ? `Scan of ${targetWords(run.order?.targets ?? [])}` : 'Look at its machine'
}

export const depthWord = (depth: Depth) => depths.find((one) => one.depth === depth)?.title ?? depth

/** What will be done, before it is asked for. */
export function promise(agent: string, targets: readonly string[], depth: Depth, one = false): string {
  const count = one ? 1 : addressCount(targets)
  const whom = !targets.length
    ? 'every address of the networks that it is attached to'
    : count === 1
      ? (targets[0] ?? '').replace(/\/32$/, '')
      : `${count === null ? 'the hosts' : `${number.format(count)} addresses`} of ${targetWords(targets)}`
  const first = count === 1 ? `${agent} looks whether ${whom} is there` : `${agent} asks ${whom} who is there`
  if (depth === 'none') return `${first}, and tries no port.`
  const ports = depth === 'full' ? 'all 65,535 TCP ports' : 'the usual ports'
  return `${first}, tries ${ports} of who answers, and asks what it finds open which service it is.`
}

/** What the server found wrong with a field: `body.targets.0` belongs to `targets`. */
export function faultAt(error: unknown, field: string): string {
  const { faults = [] } = (error ?? {}) as Partial<Problem>
  const here = faults.filter(({ where }) => where.split('.').includes(field))
  return [...new Set(here.map(({ what }) => what))].join(' ')
}

/** Why the targets were refused: what a server refuses of a scan without saying where is about them. */
export function targetFault(error: unknown): string {
  const { status, detail = '', faults = [] } = (error ?? {}) as Partial<Problem>
  if (!faults.length && (status === 409 || status === 422)) return detail
  return faultAt(error, 'targets')
}

/** Whether the server's refusal is told at one of these fields already. */
export function isToldAt(error: unknown, fields: readonly string[]): boolean {
  return fields.some((field) => (field === 'targets' ? targetFault(error) : faultAt(error, field)) !== '')
}
