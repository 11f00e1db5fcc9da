/**
 * The one manager of live news: holds the event stream, says whether it stands, and has the
 * queries that are on screen fetched again when an event concerns them, each at most once a
 * second. Events name and carry nothing, so that losing some does no harm: on any doubt everything
 * that is shown is fetched again.
 */

import type { Query, QueryCacheNotifyEvent, QueryClient } from '@tanstack/svelte-query'
import { onFailure } from '../api/client'
import { Unreachable } from '../api/problem'
import { affects, type Changed, type Key } from './affected'
import { Keeping } from './keeping'
import { RefetchScheduler } from './scheduler'

const FIRST_DELAY = 500
const LONGEST_DELAY = 5000
/** How long a page waits for the stream before it fetches all the same. */
const PATIENCE = 2000

export type Connection = 'connecting' | 'live' | 'lost'

/** Whether the server answers and still knows us: `gone` when it does not know us any more. */
export type Probe = () => Promise<'known' | 'gone' | 'away'>

export class Live {
  connection = $state<Connection>('connecting')
  /** Whether pages may fetch: the stream stands, or has been waited for long enough. */
  ready = $state(false)

  private source: EventSource | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private delay = FIRST_DELAY
  private running = false
  private readonly scheduler: RefetchScheduler
  private readonly keeping: Keeping
  private readonly leave: (() => void)[] = []

  constructor(
    private readonly client: QueryClient,
    private readonly probe: Probe,
  ) {
    this.scheduler = new RefetchScheduler((hash) => this.refetch(hash))
    this.keeping = new Keeping(client)
  }

  start(): void {
    if (this.running) return
    this.running = true
    this.connection = 'connecting'
    this.delay = FIRST_DELAY
    this.leave.push(this.client.getQueryCache().subscribe((event) => this.follow(event)))
    this.leave.push(onFailure((error) => error instanceof Unreachable && this.suspect()))
    const seen = () => (document.hidden ? this.scheduler.hold() : this.scheduler.release())
    const online = () => this.suspect()
    document.addEventListener('visibilitychange', seen)
    window.addEventListener('online', online)
    this.leave.push(() => {
      document.removeEventListener('visibilitychange', seen)
      window.removeEventListener('online', online)
    })
    seen()
    const patience = setTimeout(() => (this.ready = true), PATIENCE)
    this.leave.push(() => clearTimeout(patience))
    this.open()
  }

  stop(): void {
    this.running = false
    this.ready = false
    this.close()
    clearTimeout(this.timer)
    for (const leave of this.leave.splice(0)) leave()
    for (const query of this.client.getQueryCache().getAll()) this.scheduler.forget(query.queryHash)
  }

  private open(): void {
    this.close()
    const source = new EventSource('/api/v1/events')
    this.source = source
    source.onopen = () => {
      this.connection = 'live'
      this.delay = FIRST_DELAY
    }
    source.addEventListener('changed', (event: MessageEvent<string>) => this.hear(event.data))
    // Also the first message of every stream: from here on the server tells us of every change.
    source.addEventListener('resync', () => {
      this.ready = true
      this.everythingChanged()
    })
    source.onerror = () => this.lost()
  }

  private close(): void {
    this.source?.close()
    this.source = null
  }

  /** The stream broke or could not be opened: look again soon, and less often the longer it lasts. */
  private lost(): void {
    this.close()
    this.keeping.forget()
    if (!this.running) return
    if (this.connection === 'live') this.connection = 'connecting'
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.retry(), this.delay * (0.8 + 0.4 * Math.random()))
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY)
  }

  private async retry(): Promise<void> {
    const answer = await this.probe()
    if (!this.running || this.source) return
    if (answer === 'known') return this.open()
    if (answer === 'gone') return // the log-in page takes over
    this.connection = 'lost'
    this.lost()
  }

  /**
   * A request got no answer. A stream whose other end vanished looks alive, and one that a hung
   * server does not answer looks as if it were about to open: begin anew.
   */
  private suspect(): void {
    if (this.source) this.lost()
  }

  private hear(data: string): void {
    let change: Changed
    try {
      change = JSON.parse(data) as Changed
    } catch {
      return this.everythingChanged()
    }
    // It may be us: another role, or none any more.
    if (change.entity === 'user') void this.probe()
    for (const query of this.client.getQueryCache().getAll()) {
      if (affects(change, query.queryKey as unknown as Key)) this.outdated(query)
    }
  }

  private everythingChanged(): void {
    for (const query of this.client.getQueryCache().getAll()) this.outdated(query)
  }

  private outdated(query: Query): void {
    if (query.isActive()) this.scheduler.changed(query.queryHash)
    else query.invalidate() // not on screen: fetched when it is shown again
  }

  private refetch(hash: string): void {
    const query = this.client.getQueryCache().get(hash)
    if (!query) return
    if (!query.isActive()) return query.invalidate()
    void this.client.refetchQueries({ queryKey: query.queryKey, exact: true, type: 'active' }, { cancelRefetch: false })
  }

  /** Tells the scheduler of every fetch, whoever began it. */
  private follow(event: QueryCacheNotifyEvent): void {
    this.keeping.follow(event)
    const { queryHash, state } = event.query
    if (event.type === 'removed') this.scheduler.forget(queryHash)
    else if (event.type === 'updated') {
      if (event.action.type === 'fetch') this.scheduler.started(queryHash)
      else if (state.fetchStatus !== 'fetching') this.scheduler.settled(queryHash)
    }
  }
}
