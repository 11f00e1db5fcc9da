/**
 * Bounds what the page remembers: answers that nobody shows are kept for a moment, and of them
 * only a few; when a run has ended all of them go, for a run leaves many. It fetches nothing.
 */

import type { Query, QueryCacheNotifyEvent, QueryClient } from '@tanstack/svelte-query'

/** Answers kept that are not on screen, so that going back is at once. */
export const MOST_UNSEEN = 20

const ENDS: ReadonlySet<string> = new Set(['complete', 'failed', 'cancelled'])

export class Keeping {
  /** Runs that are under way, as far as answers on screen have said: a set of ids, never more. */
  private readonly underWay = new Set<string>()

  constructor(
    private readonly client: QueryClient,
    private readonly most = MOST_UNSEEN,
  ) {}

  /** Hears of everything that happens to an answer. */
  follow(event: QueryCacheNotifyEvent): void {
    const answered = event.type === 'updated' && event.action.type === 'success'
    if (answered || event.type === 'observerRemoved') this.trim()
    if (answered && this.sawEnd(event.query)) this.letGo()
  }

  /** Forgets which runs are under way: the connection was lost, and with it what is known of them. */
  forget(): void {
    this.underWay.clear()
  }

  private unseen(): Query[] {
    const done = ({ state }: Query) => state.fetchStatus === 'idle' && state.dataUpdatedAt > 0
    return this.client.getQueryCache().getAll().filter((query) => !query.isActive() && done(query))
  }

  private trim(): void {
    const unseen = this.unseen()
    if (unseen.length <= this.most) return
    unseen.sort((a, b) => a.state.dataUpdatedAt - b.state.dataUpdatedAt)
    for (const query of unseen.slice(0, unseen.length - this.most)) this.client.getQueryCache().remove(query)
  }

  private letGo(): void {
    for (const query of this.unseen()) this.client.getQueryCache().remove(query)
  }

  private sawEnd(query: Query): boolean {
    let ended = false
    for (const { id, state } of runsIn(query)) {
      if (!ENDS.has(state)) this.underWay.add(id)
      else if (this.underWay.delete(id)) ended = true
    }
    return ended
  }
}

function runsIn({ queryKey, state }: Query): { id: string; state: string }[] {
  if (queryKey[0] === 'run') return [state.data as { id: string; state: string }]
  return queryKey[0] === 'runs' ? (state.data as { items: { id: string; state: string }[] }).items : []
}
