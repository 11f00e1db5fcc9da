/**
 * Decides when a query that may be out of date is fetched again: at once, but at most once per
 * `interval` and never twice at a time, however often it is said to have changed. Fetches by
 * others (a page that opens) count. It never fetches by itself: `run` does.
 */

/** What the scheduler needs of time; milliseconds. */
export interface Clock {
  now(): number
  after(ms: number, call: () => void): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms)
    return () => clearTimeout(timer)
  },
}

interface Entry {
  /** When the last fetch began; minus infinity before the first. */
  begun: number
  inFlight: boolean
  /** Whether something changed since the last fetch began. */
  dirty: boolean
  cancelTimer: (() => void) | null
}

export class RefetchScheduler {
  private readonly entries = new Map<string, Entry>()
  private held = false

  constructor(
    private readonly run: (key: string) => void,
    private readonly interval = 1000,
    private readonly clock: Clock = systemClock,
  ) {}

  /** What `key` stands for may have changed. */
  changed(key: string): void {
    const entry = this.entry(key)
    entry.dirty = true
    this.consider(key, entry)
  }

  /** A fetch of `key` began, whoever asked for it. */
  started(key: string): void {
    const entry = this.entry(key)
    entry.begun = this.clock.now()
    entry.inFlight = true
    entry.dirty = false
    this.disarm(entry)
  }

  /** The fetch of `key` ended, well or badly. */
  settled(key: string): void {
    const entry = this.entries.get(key)
    if (!entry?.inFlight) return
    entry.inFlight = false
    this.consider(key, entry)
  }

  /** Nobody shows `key` any more. */
  forget(key: string): void {
    const entry = this.entries.get(key)
    if (!entry) return
    this.disarm(entry)
    this.entries.delete(key)
  }

  /** Fetches nothing until `release`, as while the page cannot be seen; changes are remembered. */
  hold(): void {
    this.held = true
    for (const entry of this.entries.values()) this.disarm(entry)
  }

  release(): void {
    this.held = false
    for (const [key, entry] of this.entries) this.consider(key, entry)
  }

  private entry(key: string): Entry {
    let entry = this.entries.get(key)
    if (!entry) {
      entry = { begun: -Infinity, inFlight: false, dirty: false, cancelTimer: null }
      this.entries.set(key, entry)
    }
    return entry
  }

  private consider(key: string, entry: Entry): void {
    if (!entry.dirty || entry.inFlight || entry.cancelTimer || this.held) return
    const wait = entry.begun + this.interval - this.clock.now()
    if (wait > 0) {
      entry.cancelTimer = this.clock.after(wait, () => {
        entry.cancelTimer = null
        this.consider(key, entry)
      })
      return
    }
    // `run` is expected to say `started`; should it find nothing to fetch, the turn is spent all
    // the same, so that a key without a query cannot spin.
    entry.dirty = false
    entry.begun = this.clock.now()
    this.run(key)
  }

  private disarm(entry: Entry): void {
    entry.cancelTimer?.()
    entry.cancelTimer = null
  }
}
