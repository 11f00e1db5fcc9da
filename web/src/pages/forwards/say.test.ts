import { expect, test } from 'vitest'
import { bytes, engineOf, linkNow, ping, remarks, within } from './say'

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
  expect(linkNow({ ...said, agent_online: false, state: 'stopped' }).word).toBe('Stopped')
  expect(linkNow({ ...said, agent_online: false, gone_at: '2026-11-21T12:00:00Z' }).word).toBe('Gone')
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
