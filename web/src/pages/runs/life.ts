/** What can be said of a run's time. */

import type { Shapes } from '../../api/client'
import { soFar } from '../../time/format'

type Run = Shapes['Run']

export function isOver(run: Pick<Run, 'state'>): boolean {
  return run.state === 'complete' || run.state === 'failed' || run.state === 'cancelled'
}

/** Seconds without news of a run after which nothing is said of how long it takes still. */
const QUIET = 15

/**
 * Seconds that a run has taken and is thought to take still. The server's figures are as of `asOf`
 * (this machine's clock, ms) and go on from there, so that the two clocks need not agree.
 */
export function times(run: Run, asOf: number, now: number): { elapsed: number | null; remaining: number | null } {
  if (isOver(run)) return { elapsed: run.elapsed_s, remaining: null }
  const since = Math.max(0, (now - asOf) / 1000)
  return {
    elapsed: run.elapsed_s === null ? null : run.elapsed_s + since,
    remaining: run.remaining_s === null || since > QUIET ? null : Math.max(0, run.remaining_s - since),
  }
}

/** `about 3 min left`; an estimate that has run out says so. */
export function leftWords(seconds: number): string {
  if (seconds >= 1) return `about ${soFar(Math.round(seconds))} left`
  return seconds > 0 ? 'nearly done' : 'longer than thought'
}
