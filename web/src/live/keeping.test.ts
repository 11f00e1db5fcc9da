import { QueryClient, QueryObserver } from '@tanstack/svelte-query'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Keeping } from './keeping'

let client: QueryClient
let leave: () => void
let keeping: Keeping

beforeEach(() => {
  client = new QueryClient({ defaultOptions: { queries: { retry: false, gcTime: Infinity } } })
  keeping = new Keeping(client, 3)
  leave = client.getQueryCache().subscribe((event) => keeping.follow(event))
})
afterEach(() => {
  leave()
  client.clear()
})

const put = (...key: unknown[]) => client.setQueryData(key, { items: [] })
const run = (id: string, state: string) => client.setQueryData(['run', { id }], { id, state })
const kept = () => client.getQueryCache().getAll().map((query) => query.queryKey[0])

test('of the answers that nobody shows only the newest few are kept', async () => {
  for (let page = 0; page < 50; page++) {
    put('hosts', { page })
    await new Promise((done) => setTimeout(done, 1))
  }
  put('last')
  expect(client.getQueryCache().getAll().length).toBeLessThanOrEqual(4)
  expect(client.getQueryData(['hosts', { page: 49 }])).toBeDefined()
})

test('what is shown is kept however much there is', () => {
  const stop = Array.from({ length: 10 }, (_, n) =>
    new QueryObserver(client, { queryKey: ['shown', n], queryFn: () => n, initialData: n, staleTime: Infinity }).subscribe(() => {}),
  )
  for (let n = 0; n < 10; n++) put('unseen', n)
  expect(kept().filter((noun) => noun === 'shown')).toHaveLength(10)
  for (const one of stop) one()
})

test.each(['complete', 'failed', 'cancelled'])('when a run is %s what nobody shows is let go', (state) => {
  run('a', 'running')
  put('map')
  put('hosts')
  run('a', state)
  expect(kept()).toEqual([])
})

test('a run that had ended before it was seen empties nothing', () => {
  put('map')
  run('a', 'complete')
  expect(kept()).toContain('map')
})

test('a run is seen to end in a list too, and once', () => {
  client.setQueryData(['runs', {}], { items: [{ id: 'a', state: 'starting' }] })
  client.setQueryData(['runs', {}], { items: [{ id: 'a', state: 'failed' }] })
  put('map')
  client.setQueryData(['runs', {}], { items: [{ id: 'a', state: 'failed' }] })
  expect(kept()).toContain('map')
})

test('a lost connection forgets which runs were under way', () => {
  run('a', 'running')
  keeping.forget()
  put('map')
  run('a', 'complete')
  expect(kept()).toContain('map')
})
