/** The page's one query cache and its one manager of live news. */

import { QueryClient } from '@tanstack/svelte-query'
import { session } from '../state/session.svelte'
import { Live } from './live.svelte'

export const client = new QueryClient({
  defaultOptions: {
    queries: {
      // Live news says when an answer is out of date; leaving and coming back within a second is
      // no reason to ask again. What is not shown is let go soon, so that the cache stays small.
      staleTime: 1000,
      gcTime: 30_000,
      retry: false,
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      networkMode: 'always',
    },
    mutations: { networkMode: 'always', gcTime: 0 },
  },
})

export const live = new Live(client, session.probe)
