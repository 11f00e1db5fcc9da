import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { RefetchScheduler } from './scheduler'

let fetched: { key: string; at: number }[]
let scheduler: RefetchScheduler
let start: number
/** How long a fetch takes, in ms. */
let cost: number

beforeEach(() => {
  vi.useFakeTimers()
  fetched = []
  cost = 10
  start = performance.now()
  scheduler = new RefetchScheduler((key) => {
    fetched.push({ key, at: Math.round(performance.now() - start) })
    scheduler.started(key)
    setTimeout(() => scheduler.settled(key), cost)
  })
})
afterEach(() => vi.useRealTimers())

const times = (key = 'hosts') => fetched.filter((f) => f.key === key).map((f) => f.at)

test('the first change is fetched at once', () => {
  scheduler.changed('hosts')
  expect(times()).toEqual([0])
})

test('a burst is one fetch at once and one a second later', async () => {
  for (let i = 0; i < 50; i++) scheduler.changed('hosts')
  await vi.advanceTimersByTimeAsync(5000)
  expect(times()).toEqual([0, 1000])
  for (let i = 0; i < 50; i++) {
    scheduler.changed('hosts')
    await vi.advanceTimersByTimeAsync(2)
  }
  await vi.advanceTimersByTimeAsync(5000)
  expect(times()).toEqual([0, 1000, 5000, 6000])
})

test('two hundred changes a second for a minute are sixty-one fetches, the last after the last change', async () => {
  for (let i = 0; i < 200 * 60; i++) {
    scheduler.changed('hosts')
    await vi.advanceTimersByTimeAsync(5)
  }
  await vi.advanceTimersByTimeAsync(3000)
  expect(times()).toHaveLength(61)
  const gaps = times().slice(1).map((t, i) => t - (times()[i] ?? 0))
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1000)
  expect(times().at(-1)).toBeGreaterThanOrEqual(60_000)
})

test('a fetch that takes longer than a second is never overtaken by another of its kind', async () => {
  cost = 3500
  for (let i = 0; i < 100; i++) {
    scheduler.changed('hosts')
    await vi.advanceTimersByTimeAsync(100)
  }
  expect(times()).toEqual([0, 3500, 7000])
})

test('a change during a fetch is fetched after it, since the answer may be older', async () => {
  cost = 2000
  scheduler.changed('hosts')
  await vi.advanceTimersByTimeAsync(1500)
  scheduler.changed('hosts')
  await vi.advanceTimersByTimeAsync(5000)
  expect(times()).toEqual([0, 2000])
})

test("a page's own first fetch counts", async () => {
  scheduler.started('hosts')
  await vi.advanceTimersByTimeAsync(50)
  scheduler.settled('hosts')
  scheduler.changed('hosts')
  await vi.advanceTimersByTimeAsync(3000)
  expect(times()).toEqual([1000])
})

test('each query has a second of its own', () => {
  scheduler.changed('hosts')
  scheduler.changed('map')
  expect(fetched.map((f) => f.key)).toEqual(['hosts', 'map'])
})

test('what is no longer shown is not fetched', async () => {
  scheduler.changed('hosts')
  await vi.advanceTimersByTimeAsync(20)
  scheduler.changed('hosts')
  scheduler.forget('hosts')
  await vi.advanceTimersByTimeAsync(5000)
  expect(times()).toEqual([0])
})

test('while held nothing is fetched, and once released what changed is', async () => {
  scheduler.hold()
  scheduler.changed('hosts')
  await vi.advanceTimersByTimeAsync(5000)
  expect(times()).toEqual([])
  scheduler.release()
  expect(times()).toEqual([5000])
})

test('a key without a query spends its turn and does not spin', async () => {
  let asked = 0
  const idle = new RefetchScheduler(() => void asked++)
  for (let i = 0; i < 10; i++) idle.changed('gone')
  await vi.advanceTimersByTimeAsync(3000)
  expect(asked).toBe(2)
})
