import { expect, test } from 'vitest'
import { match } from './match'

const patterns = [
  ['/', 'map'],
  ['/hosts', 'hosts'],
  ['/hosts/:id', 'host'],
] as const

test('a path finds its page and its parameters', () => {
  expect(match(patterns, '/')?.page).toBe('map')
  expect(match(patterns, '/hosts/')?.page).toBe('hosts')
  expect(match(patterns, '/hosts/a%20b')).toEqual({ page: 'host', params: { id: 'a b' } })
})

test('a path that no pattern fits, or that is not well formed, names no page', () => {
  expect(match(patterns, '/nowhere')).toBeNull()
  expect(match(patterns, '/hosts/1/2')).toBeNull()
  expect(match(patterns, '/hosts/%zz')).toBeNull()
})
