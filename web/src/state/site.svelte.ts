/** Which network (site) the page shows: the one chosen in this browser while it exists, else the first. */

import { store, stored } from './stored'

class Site {
  private chosen = $state(stored('network'))
  /** The networks that there are, in order; set by the frame. */
  known = $state.raw<readonly { id: string; name: string }[]>([])
  readonly current = $derived(this.known.find((network) => network.id === this.chosen) ?? this.known[0])
  readonly id = $derived(this.current?.id ?? null)

  choose(id: string): void {
    this.chosen = id
    store('network', id)
  }
}

export const site = new Site()
