import { expect, test } from 'vitest'
import { times } from './life'

const run = (over: object) =>
  ({ state: 'running', elapsed_s: 10, remaining_s: 5, ...over }) as Parameters<typeof times>[0]

test("a running run's time goes on from the server's figure", () => {
  expect(times(run({}), 1000, 4000)).toEqual({ elapsed: 13, remaining: 2 })
})

test('an estimate that was too low stays at nothing left', () => {
  expect(times(run({}), 0, 14_000).remaining).toBe(0)
})

test('of a run that is not heard of any more nothing is thought to be left', () => {
  expect(times(run({ remaining_s: 60 }), 0, 16_000)).toEqual({ elapsed: 26, remaining: null })
})

test('a run that is over stands still, and one that has not begun has no time', () => {
  expect(times(run({ state: 'complete', remaining_s: null }), 0, 60_000).elapsed).toBe(10)
  expect(times(run({ state: 'pending', elapsed_s: null, remaining_s: null }), 0, 9).elapsed).toBeNull()
})
