/** What a list is asked with: search, order, page. Kept in the address for a page's main list, else here. */

import { router } from '../router/router.svelte'
import { store, stored } from '../state/stored'

export const limits = [25, 50, 100] as const

const chosenLimit = Number(stored('rows'))

/** Rows on a page, the same for all lists of this browser. */
class Rows {
  limit = $state<number>(limits.find((n) => n === chosenLimit) ?? 25)

  choose(limit: number): void {
    this.limit = limit
    store('rows', String(limit))
  }
}

export const rows = new Rows()

export interface Asked {
  readonly q: string
  readonly sort: string
  /** The cursors of the pages up to this one; empty on the first. */
  readonly cursors: readonly string[]
  ask(change: { q?: string; sort?: string }): void
  turn(cursors: readonly string[]): void
}

export class AskedHere implements Asked {
  q = $state('')
  sort = $state('')
  cursors = $state.raw<readonly string[]>([])

  constructor(sort: string) {
    this.sort = sort
  }

  ask({ q = this.q, sort = this.sort }: { q?: string; sort?: string }): void {
    this.q = q
    this.sort = sort
    this.cursors = []
  }

  turn(cursors: readonly string[]): void {
    this.cursors = cursors
  }
}

export class AskedInAddress implements Asked {
  constructor(private readonly usual: string) {}

  get q(): string {
    return router.query.get('q') ?? ''
  }

  get sort(): string {
    return router.query.get('sort') ?? this.usual
  }

  get cursors(): readonly string[] {
    const state = router.state as { cursors?: unknown } | null
    return Array.isArray(state?.cursors) ? (state.cursors as string[]) : []
  }

  ask({ q = this.q, sort = this.sort }: { q?: string; sort?: string }): void {
    router.ask({ q, sort: sort === this.usual ? null : sort }, null)
  }

  turn(cursors: readonly string[]): void {
    router.ask({}, { cursors: [...cursors] })
  }
}
