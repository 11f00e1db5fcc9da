import { expect, test } from 'vitest'
import { Problem } from '../../api/problem'
import { addressCount, faultAt, isToldAt, kindWords, promise, splitTargets, targetFault, targetWords } from './order'

test('targets are taken from lines, commas and blanks, each once', () => {
  expect(splitTargets(' 10.0.0.0/24, 10.0.1.7\n10.0.0.0/24;fd00::/64 ')).toEqual(['10.0.0.0/24', '10.0.1.7', 'fd00::/64'])
  expect(splitTargets('  ')).toEqual([])
})

test('addresses are counted while all targets are IPv4', () => {
  expect(addressCount(['10.0.0.0/24', '10.0.1.7'])).toBe(257)
  expect(addressCount(['fd00::/64'])).toBeNull()
  expect(addressCount(['10.0.0.0/99'])).toBeNull()
  expect(addressCount(['office'])).toBeNull()
})

test('one host is named without its prefix, many ranges are counted', () => {
  expect(targetWords(['10.0.0.7/32'])).toBe('10.0.0.7')
  expect(targetWords(['10.0.0.0/24', '10.0.1.0/24'])).toBe('10.0.0.0/24 and 10.0.1.0/24')
  expect(targetWords(['a', 'b', 'c'])).toBe('3 networks')
  expect(kindWords({ kind: 'scan', order: { targets: [], depth: 'light' } })).toBe('Scan of its own networks')
})

test('what will be done is said before it is asked for', () => {
  expect(promise('gate', ['10.0.0.0/24'], 'light')).toBe(
    'gate asks 256 addresses of 10.0.0.0/24 who is there, tries the usual ports of who answers, and asks what it finds open which service it is.',
  )
  expect(promise('gate', ['10.0.0.7/32'], 'none')).toBe('gate looks whether 10.0.0.7 is there, and tries no port.')
  expect(promise('gate', [], 'full')).toContain('all 65,535 TCP ports')
})

test('a fault of one target is told at the targets, and other faults are not', () => {
  const error = new Problem(422, 'The request does not fit', '', [
    { where: 'body.targets.1', what: 'host bits are set' },
    { where: 'cron', what: 'never fires' },
  ])
  expect(faultAt(error, 'targets')).toBe('host bits are set')
  expect(faultAt(error, 'cron')).toBe('never fires')
  expect(faultAt(error, 'depth')).toBe('')
  expect(faultAt(new Error('away'), 'targets')).toBe('')
})

test('what is refused without saying where is told at the targets, and a server that fails is not', () => {
  const refused = new Problem(409, 'Conflict', '10.9.0.0/24 is outside of the networks that the agent may scan')
  expect(targetFault(refused)).toContain('10.9.0.0/24')
  expect(isToldAt(refused, ['targets'])).toBe(true)
  expect(isToldAt(new Problem(500, 'The server failed', 'it broke'), ['targets'])).toBe(false)
  expect(targetFault(null)).toBe('')
})
