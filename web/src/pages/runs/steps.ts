/** The phases of a run as steps: a run in, what is done, under way and still to come out. */

import type { Shapes } from '../../api/client'

export interface Step {
  name: string
  title: string
  /** `never` is a step that a run which ended did not come to. */
  state: 'done' | 'now' | 'next' | 'never' | 'broken'
  done: number
  total: number | null
}

type Run = Pick<Shapes['Run'], 'kind' | 'order' | 'state' | 'phase' | 'done' | 'total' | 'phases'>

const titles: Readonly<Record<string, string>> = {
  hosts: 'Who is there',
  ports: 'Open ports',
  services: 'Services',
  interfaces: 'Interfaces',
  containers: 'Containers',
}

/** What is counted in a phase: `12 of 256 addresses`. */
const units: Readonly<Record<string, string>> = { hosts: 'addresses', ports: 'ports', services: 'ports' }

export const unitOf = (phase: string) => units[phase] ?? ''

/** The steps of a scan, also those to come; of another run those that it has said. */
export function steps(run: Run): Step[] {
  const told = new Map((run.phases ?? []).map((phase) => [phase.name, phase]))
  if (run.phase && !told.has(run.phase)) told.set(run.phase, { name: run.phase, done: run.done, total: run.total })
  const planned = run.kind === 'scan' ? (run.order?.depth === 'none' ? ['hosts'] : ['hosts', 'ports', 'services']) : []
  // What is not of the plan, as waiting for another scan, comes before it.
  const names = [...[...told.keys()].filter((name) => !planned.includes(name)), ...planned]
  // One that failed may say no phase any more: it broke in the last that it was in.
  const at = names.indexOf(run.phase ?? [...told.keys()].at(-1) ?? '')
  return names.map((name, i) => {
    const { done = 0, total = null } = told.get(name) ?? {}
    return { name, title: titles[name] ?? plain(name), state: stateOf(run, i, at), done, total }
  })
}

function stateOf(run: Run, i: number, at: number): Step['state'] {
  // Also one that no word came of, as while the server was away.
  if (run.state === 'complete') return 'done'
  if (i < at) return 'done'
  const over = run.state === 'failed' || run.state === 'cancelled'
  if (i > at) return over ? 'never' : 'next'
  return over ? 'broken' : 'now'
}

function plain(word: string): string {
  const spaced = word.replaceAll('_', ' ')
  return spaced.charAt(0).toUpperCase() + spaced.slice(1)
}
