import { expect, test } from 'vitest'
import { steps, unitOf } from './steps'

const scan = (over: object) =>
  ({ kind: 'scan', order: { targets: [], depth: 'light' }, state: 'running', phase: null, done: 0, total: null, phases: [], ...over }) as Parameters<typeof steps>[0]
const states = (run: Parameters<typeof steps>[0]) => steps(run).map(({ name, state }) => `${name} ${state}`)

test('a scan that has not begun shows what it will do', () => {
  expect(states(scan({ state: 'pending' }))).toEqual(['hosts next', 'ports next', 'services next'])
})

test('a scan of who is there has one step', () => {
  expect(states(scan({ order: { targets: [], depth: 'none' }, phase: 'hosts' }))).toEqual(['hosts now'])
})

test('what is before the phase is done, with the counts that it ended with', () => {
  const run = scan({ phase: 'ports', done: 3, total: 9, phases: [{ name: 'hosts', done: 256, total: 256 }] })
  expect(states(run)).toEqual(['hosts done', 'ports now', 'services next'])
  expect(steps(run)[0]).toMatchObject({ done: 256, total: 256 })
  expect(steps(run)[1]).toMatchObject({ done: 3, total: 9 })
})

test.each(['failed', 'cancelled'])('a scan that %s broke in its phase and did not come to the next', (state) => {
  expect(states(scan({ state, phase: 'ports' }))).toEqual(['hosts done', 'ports broken', 'services never'])
})

test('a complete scan is done with all it came to', () => {
  const phases = ['hosts', 'ports', 'services'].map((name) => ({ name, done: 1, total: 1 }))
  expect(states(scan({ state: 'complete', phase: 'services', phases }))).toEqual(['hosts done', 'ports done', 'services done'])
})

test('a look has the steps that it has said', () => {
  expect(states(scan({ kind: 'look', order: null, phase: 'containers', phases: [{ name: 'interfaces', done: 1, total: 1 }] }))).toEqual([
    'interfaces done',
    'containers now',
  ])
})

test('a scan that failed without saying where broke in the last phase that it was in', () => {
  const run = scan({ state: 'failed', phases: [{ name: 'hosts', done: 31, total: 256 }] })
  expect(states(run)).toEqual(['hosts broken', 'ports never', 'services never'])
})

test('a scan that waits for another has come to none of its own phases', () => {
  expect(states(scan({ state: 'starting', phase: 'waiting' }))).toEqual(['waiting now', 'hosts next', 'ports next', 'services next'])
})

test('what is counted while ports are looked at is ports', () => {
  expect(unitOf('hosts')).toBe('addresses')
  expect(unitOf('ports')).toBe('ports')
})

test('a complete scan has done a phase of which no word came', () => {
  const phases = [{ name: 'hosts', done: 254, total: 254 }, { name: 'ports', done: 90, total: 90 }]
  const run = scan({ state: 'complete', phase: 'ports', phases })
  expect(states(run)).toEqual(['hosts done', 'ports done', 'services done'])
})
