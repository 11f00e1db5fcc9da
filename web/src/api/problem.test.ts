import { expect, test } from 'vitest'
import { problemFrom } from './problem'

test("a problem's own words are kept", () => {
  const problem = problemFrom(409, { title: 'Already set up', detail: 'The link has been used.', status: 409 })
  expect([problem.title, problem.message]).toEqual(['Already set up', 'The link has been used.'])
})

test('an answer without words gets those of its status', () => {
  const bare = { type: 'about:blank', title: 'Unprocessable Entity' }
  expect(problemFrom(422, bare).title).toBe('The request does not fit')
  expect(problemFrom(502, '<html>').title).toBe('The server is not there')
  expect(problemFrom(418, undefined).message).toBe('The server answered 418')
})

test('what was wrong where is kept', () => {
  const { faults } = problemFrom(422, { title: 'x', errors: [{ where: ['body', 'name'], what: 'too long' }, 7] })
  expect(faults).toEqual([{ where: 'body.name', what: 'too long' }])
})
