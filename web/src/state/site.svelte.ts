/** Which network (site) the page shows: the one chosen in this browser while it exists, else the first. */

import { store, stored } from './stored'

class Site {
  private chosen = $state(stored('network'))
  /** The ids that there are, in order; set by the frame. */
  known = $state<readonly string[]>([])
  readonly id = $derived(this.chosen && this.known.includes(this.chosen) ? this.chosen : (this.known[0] ?? null))

  choose(id: string): void {
    this.chosen = id
    store('network', id)
  }
}

export const site = new Site()
