import { expect, test } from 'vitest'
import { busNow, byRemedy, endpointNow, frames, isBroken, shortId } from './say'

const bus = { agent_online: true, gone_at: null, condition: 'healthy', state: '' } as const

test('a bus is missing, down, as its controller says, faulty or up', () => {
  expect(busNow({ ...bus, condition: 'missing' })).toEqual({ word: 'Missing', tone: 'bad' })
  expect(busNow({ ...bus, condition: 'down', state: 'stopped' })).toEqual({ word: 'Down', tone: 'bad' })
  expect(busNow({ ...bus, condition: 'faulty', state: 'bus-off' })).toEqual({ word: 'Bus off', tone: 'bad' })
  expect(busNow({ ...bus, state: 'passive' })).toEqual({ word: 'Error passive', tone: 'warn' })
  expect(busNow({ ...bus, condition: 'faulty' })).toEqual({ word: 'Faulty', tone: 'bad' })
  expect(busNow({ ...bus, state: 'active' })).toEqual({ word: 'Up', tone: 'good' })
  expect(busNow(bus)).toEqual({ word: 'Up', tone: 'good' })
})

test('what a silent agent said is past, and a bus that is gone is gone', () => {
  const silent = { ...bus, agent_online: false }
  expect(busNow({ ...silent, state: 'bus-off' })).toEqual({ word: 'Was bus off', tone: 'idle' })
  expect(busNow({ ...silent, gone_at: '2026-11-21T12:00:00Z' })).toEqual({ word: 'Gone', tone: 'idle' })
  expect(isBroken({ ...bus, condition: 'faulty' })).toBe(true)
  expect(isBroken({ ...silent, condition: 'faulty' })).toBe(false)
})

test('an endpoint without its interface is missing, whatever its state', () => {
  expect(endpointNow({ state: 'joined', interface: 'mc1a2b' }, false).word).toBe('Joined')
  expect(endpointNow({ state: 'joined', interface: '' }, false)).toEqual({ word: 'Missing', tone: 'bad' })
  expect(endpointNow({ state: 'created', interface: 'mc1a2b' }, true).word).toBe('Was not joined')
})

test('what has the same remedy stands together, and what is grave before what is not', () => {
  const error = { weight: 'error', subject: 'vcan0', what: 'rules missing', remedy: 'repair' } as const
  const warning = { ...error, weight: 'warning', what: 'a leftover' } as const
  const late = { ...warning, remedy: 'wait' }
  const groups = byRemedy([late, warning, error])
  expect(groups.map((group) => [group.remedy, group.grave, group.of.length])).toEqual([
    ['repair', true, 2],
    ['wait', false, 1],
  ])
})

test('frames are counted to the last below a million', () => {
  expect(frames(999_999)).toBe('999,999')
  expect(frames(1_237_000)).toBe('1.24M')
})

test('an id is as short as Docker shows it', () => {
  expect(shortId('0123456789ab'.padEnd(64, '0'))).toBe('0123456789ab')
  expect(shortId('vcan0')).toBe('vcan0')
})
