/** Who is logged in, as the server says; and what that person may do. */

import { api, ask, onFailure, type Shapes } from '../api/client'
import { Problem, Unreachable } from '../api/problem'

export type Role = Shapes['User']['role']

/** `unknown` until the server has answered; `setup` while it has no owner yet. */
export type Phase = 'unknown' | 'setup' | 'login' | 'in'

const RETRY = 2000
const PROBE_DEADLINE = 5000
export const ranks: readonly Role[] = ['viewer', 'member', 'admin', 'owner']

class SessionState {
  phase = $state<Phase>('unknown')
  user = $state<Shapes['User'] | null>(null)
  /** Why the server could not be asked who we are. */
  trouble = $state<Error | null>(null)

  constructor() {
    onFailure((error) => {
      if (error instanceof Problem && error.status === 401 && this.phase === 'in') this.lost()
    })
  }

  /** Asks who we are until the server answers. */
  async begin(): Promise<void> {
    for (;;) {
      try {
        this.enter(await ask(api.GET('/api/v1/session'), true))
        return
      } catch (error) {
        if (error instanceof Problem && error.status === 401) {
          if (await this.askSetup()) return
        } else {
          this.trouble = error as Error
        }
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY))
    }
  }

  async logIn(name: string, password: string): Promise<void> {
    this.enter(await ask(api.POST('/api/v1/session', { body: { name, password } }), true))
  }

  async setUp(token: string, name: string, password: string): Promise<void> {
    this.enter(await ask(api.POST('/api/v1/setup', { body: { token, name, password } }), true))
  }

  /** Chooses a password by a one-time link, and is in. */
  async accept(token: string, password: string): Promise<void> {
    this.enter(await ask(api.POST('/api/v1/invitation', { body: { token, password } }), true))
  }

  async logOut(): Promise<void> {
    try {
      await ask(api.DELETE('/api/v1/session'), true)
    } catch (error) {
      // A session that the server does not know is over already; anything else is not.
      if (!(error instanceof Problem && error.status === 401)) throw error
    }
    this.lost()
  }

  /** Whether the server answers and still knows us; what we may do may have changed. */
  probe = async (): Promise<'known' | 'gone' | 'away'> => {
    try {
      this.enter(await ask(api.GET('/api/v1/session', { signal: AbortSignal.timeout(PROBE_DEADLINE) }), true))
      return 'known'
    } catch (error) {
      if (!(error instanceof Problem && error.status === 401)) return 'away'
      this.lost()
      return 'gone'
    }
  }

  /** Whether the user's role is at least `least`. */
  may(least: Role): boolean {
    return this.user !== null && ranks.indexOf(this.user.role) >= ranks.indexOf(least)
  }

  private enter(session: Shapes['Session']): void {
    this.user = session.user
    this.trouble = null
    this.phase = 'in'
  }

  private lost(): void {
    this.user = null
    this.phase = 'login'
  }

  private async askSetup(): Promise<boolean> {
    try {
      const { needed } = await ask(api.GET('/api/v1/setup'), true)
      this.phase = needed ? 'setup' : 'login'
      this.trouble = null
      return true
    } catch (error) {
      this.trouble = error as Error
      return false
    }
  }
}

export const session = new SessionState()

/** What a person reads of an error, whatever it is. */
export function inWords(error: unknown): { title: string; detail: string } {
  if (error instanceof Problem) {
    const faults = error.faults.map((f) => (f.where ? `${f.where}: ${f.what}` : f.what)).join('; ')
    return { title: error.title, detail: [error.detail, faults].filter(Boolean).join(' ') }
  }
  if (error instanceof Unreachable) {
    return { title: 'The server does not answer', detail: 'It may be restarting. This page tries again by itself.' }
  }
  return { title: 'Something went wrong in this page', detail: error instanceof Error ? error.message : String(error) }
}
