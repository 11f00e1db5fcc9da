import { expect, test } from 'vitest'
import { duration, elapsedMs, lasted, relative } from './format'

const now = Date.parse('2026-11-21T12:00:00Z')
const ago = (s: number) => relative(now - s * 1000, now)

test('an age is told in the coarsest words that are still true', () => {
  expect(ago(3)).toBe('just now')
  expect(ago(47)).toBe('40 seconds ago')
  expect(ago(61)).toBe('1 minute ago')
  expect(ago(2 * 3600 + 1800)).toBe('2 hours ago')
  expect(ago(3 * 86_400)).toBe('3 days ago')
})

test('a clock that is ahead of ours does not see the future', () => {
  expect(ago(-30)).toBe('just now')
})

test('what has lasted is told as coarsely as an age', () => {
  expect(lasted(now - 2000, now)).toBe('a moment')
  expect(lasted(now - 3 * 3600_000, now)).toBe('3 hours')
})

test('a duration keeps two units at most', () => {
  expect(duration(1.44)).toBe('1.4 sec')
  expect(duration(9.97)).toBe('10 sec')
  expect(duration(42)).toBe('42 sec')
  expect(duration(185)).toBe('3 min 5 sec')
  expect(duration(7200)).toBe('2 hr')
  expect(duration(4 * 86_400 + 3 * 3600 + 59)).toBe('4 days 3 hr')
  expect(duration(-1)).toBe('0.0 sec')
  expect(duration(0.058)).toBe('58 ms')
})

test('milliseconds become seconds from the first second', () => {
  expect(elapsedMs(12.3)).toBe('12 ms')
  expect(elapsedMs(5002)).toBe('5.0 sec')
})
