import { expect, test } from 'vitest'
import { agentCommand, boundTo, deedWords, inDays, withArticle } from './say'

test('a key ends so many days from now, or never', () => {
  expect(inDays(0)).toBeNull()
  expect(inDays(7, Date.UTC(2030, 0, 1))).toBe('2030-01-08T00:00:00.000Z')
})

test('a role is said with its article', () => {
  expect([withArticle('viewer'), withArticle('admin')]).toEqual(['a viewer', 'an admin'])
})

test('the command of an agent holds its key and the server', () => {
  expect(agentCommand('mooring_a_b', 'http://10.0.0.1:8930')).toBe('MOORING_KEY=mooring_a_b mooring agent --server http://10.0.0.1:8930')
})

test('why a network cannot be chosen names the network', () => {
  expect(boundTo('home')).toContain('This agent’s key is for the network home.')
})

test('what was done is a sentence, and of a session the deed alone', () => {
  const word = (entity: string) => (entity === 'key' ? 'Key' : entity)
  expect(deedWords({ entity: 'key', action: 'rotated' }, word)).toBe('Key rotated')
  expect(deedWords({ entity: 'session', action: 'logged in' }, word)).toBe('Logged in')
})
