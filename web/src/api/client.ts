/** The one way to the server: typed requests out, answers or `Problem` / `Unreachable` back. */

import createClient from 'openapi-fetch'
import { Problem, problemFrom, Unreachable } from './problem'
import type { components, paths } from './schema.gen'

export type Shapes = components['schemas']

/** A server that takes a request and never answers is as good as away. */
const DEADLINE = 15_000

export const api = createClient<paths>({
  baseUrl: '',
  fetch: (request: Request) => fetch(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(DEADLINE)]) }),
})

type Listener = (error: Problem | Unreachable) => void
const listeners = new Set<Listener>()

/** Hears of every failed request, to notice a lost log-in or a lost server in one place. */
export function onFailure(listener: Listener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

interface Answer<Data> {
  data?: Data
  error?: unknown
  response: Response
}

/** The answer's data; throws what went wrong, and tells the listeners unless `quiet`. */
export async function ask<Data>(request: Promise<Answer<Data>>, quiet = false): Promise<Data> {
  try {
    return await unwrapped(request)
  } catch (error) {
    if (!quiet && (error instanceof Problem || error instanceof Unreachable)) {
      for (const listener of listeners) listener(error)
    }
    throw error
  }
}

async function unwrapped<Data>(request: Promise<Answer<Data>>): Promise<Data> {
  let answer: Answer<Data>
  try {
    answer = await request
  } catch (cause) {
    // A request given up on purpose is not a failure of the server's.
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
    throw new Unreachable(cause)
  }
  if (!answer.response.ok) throw problemFrom(answer.response.status, answer.error)
  return answer.data as Data
}
