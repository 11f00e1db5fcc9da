import { expect, test } from 'vitest'
import { bytes, engineOf, lately, linkNow, ping, remarks, stoppedAt, troubleOf, within } from './say'

test('bytes have three digits at most and a unit that fits', () => {
  expect(bytes(0)).toBe('0 B')
  expect(bytes(999)).toBe('999 B')
  expect(bytes(1000)).toBe('1.0 KiB')
  expect(bytes(4300)).toBe('4.2 KiB')
  expect(bytes(1023.9 * 1024)).toBe('1.0 MiB')
  expect(bytes(130 * 1024 ** 2)).toBe('130 MiB')
  expect(bytes(3 * 1024 ** 4)).toBe('3.0 TiB')
})

test('a ping below ten milliseconds keeps a tenth', () => {
  expect(ping(1.54)).toBe('1.5 ms')
  expect(ping(48.2)).toBe('48 ms')
})

test('a link is as its agent says while the agent is heard of', () => {
  const said = { state: 'live', agent_online: true, gone_at: null } as const
  expect(linkNow(said)).toEqual({ word: 'Live', tone: 'good' })
  expect(linkNow({ ...said, agent_online: false })).toEqual({ word: 'Was live', tone: 'idle' })
  expect(linkNow({ ...said, agent_online: false, state: 'backoff' }).word).toBe('Was without link')
  expect(linkNow({ ...said, agent_online: false, state: 'stopped' }).word).toBe('Stopped')
  expect(linkNow({ ...said, agent_online: false, gone_at: '2026-11-21T12:00:00Z' }).word).toBe('Gone')
})

const told = {
  state: 'live',
  address: 'ssh://root@build',
  agent_name: 'vm',
  agent_online: true,
  agent_last_seen: '2026-11-21T12:00:00Z',
  gone_at: null,
  diagnosis: { pattern: 'network_interruption', evidence: ['in the last hour: 1 time'], advice: ['look'], now: false },
} as const satisfies Parameters<typeof troubleOf>[0]

test('what went wrong and is over is no trouble, and is said', () => {
  expect(troubleOf(told)).toBeNull()
  expect(lately(told)).toEqual(['In the last hour: 1 time'])
  const bare = { ...told, diagnosis: { ...told.diagnosis, evidence: [] } }
  expect(lately(bare)).toEqual(['In the last hour: network interruption'])
})

test('what is wrong now is trouble, and grave while there is no link', () => {
  const wrong = { ...told, diagnosis: { ...told.diagnosis, now: true } }
  expect(lately(wrong)).toEqual([])
  expect(troubleOf(wrong)).toMatchObject({ title: 'Network interruption', advice: ['look'], grave: false })
  expect(troubleOf({ ...wrong, state: 'backoff' })?.grave).toBe(true)
})

test('the trouble with a program that is not heard of is its silence, whatever it said last', () => {
  for (const now of [true, false]) {
    const silent = { ...told, agent_online: false, diagnosis: { ...told.diagnosis, now } }
    expect(troubleOf(silent)?.title).toBe('Nothing is heard of vm')
    expect(troubleOf(silent)?.advice.join()).toContain('mooring forward run ssh://root@build')
    expect(lately(silent)).toEqual([])
  }
})

test('a program that was stopped is in no trouble, and stopped with its last word', () => {
  const stopped = { ...told, state: 'stopped', agent_online: false, since: '2026-11-21T11:00:00Z' } as const
  expect(troubleOf(stopped)).toBeNull()
  expect(stoppedAt(stopped)).toBe('2026-11-21T12:00:00Z')
})

test('the engine and its socket are told apart, and a failure stays a sentence', () => {
  expect(engineOf('docker 28.0.1 at unix:///var/run/docker.sock')).toEqual({
    name: 'Docker 28.0.1',
    place: 'unix:///var/run/docker.sock',
  })
  expect(engineOf('it did not answer within 5 s')).toEqual({ name: 'it did not answer within 5 s', place: '' })
})

test('what needs a look is said beside the number of forwards, and what is well is not', () => {
  expect(remarks({ listening: 7 })).toEqual([])
  expect(remarks({ listening: 7, conflict: 1, held: 2 }).map((r) => r.text)).toEqual(['1 conflict', '2 held'])
})

test('a share of counted values lies within a bound, or above the last', () => {
  const spread = { bounds: [0.01, 0.1, 1], counts: [90, 9, 0, 1] }
  expect(within(spread, 0.5)).toBe(0.01)
  expect(within(spread, 0.99)).toBe(0.1)
  expect(within(spread, 1)).toBe(Infinity)
  expect(within({ bounds: [], counts: [] }, 0.5)).toBeNull()
})
