/** The browser's history as state: which path and question the page is at, and going elsewhere. */

interface Place {
  path: string
  query: URLSearchParams
  /** What a page left in this entry of the history, to find on the way back. */
  state: unknown
}

class Router {
  private place = $state.raw<Place>(here())

  get path(): string {
    return this.place.path
  }

  get query(): URLSearchParams {
    return this.place.query
  }

  get state(): unknown {
    return this.place.state
  }

  /** Whether one came to this place from another within the page. */
  moved = false

  constructor() {
    addEventListener('popstate', () => {
      this.moved = true
      this.place = here()
    })
    document.addEventListener('click', (event) => this.follow(event))
  }

  go(to: string, { replace = false, state = null as unknown } = {}): void {
    if (replace) history.replaceState(state, '', to)
    else history.pushState(state, '', to)
    const moved = location.pathname !== this.place.path
    this.moved ||= moved
    this.place = here()
    if (moved) scrollTo(0, 0)
  }

  /** The same place with other questions; null takes one out. Leaves no step in the history. */
  ask(change: Record<string, string | null>, state: unknown = this.place.state): void {
    const query = new URLSearchParams(this.place.query)
    for (const [name, value] of Object.entries(change)) {
      if (value === null || value === '') query.delete(name)
      else query.set(name, value)
    }
    const text = query.toString()
    this.go(this.place.path + (text ? `?${text}` : ''), { replace: true, state })
  }

  /** Follows a plain click on a link within the page without loading it anew. */
  private follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const link = event.target instanceof Element ? event.target.closest('a') : null
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return
    if (link.hash && link.pathname === location.pathname) return // a place in this page
    event.preventDefault()
    this.go(link.pathname + link.search)
  }
}

function here(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search), state: history.state as unknown }
}

export const router = new Router()
