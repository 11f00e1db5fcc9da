import { expect, test } from 'vitest'
import { foundPath, grouped } from './found'

const found = (kind: Parameters<typeof foundPath>[0]['kind'], title: string, host_id: string | null = 'h1') => ({ kind, id: 'x1', title, host_id })

test('a port that is found leads to its host, where the ports are searched for it', () => {
  expect(foundPath(found('port', '443/tcp'))).toBe('/hosts/h1?q=443')
})

test('a schedule that is found leads to the schedules of its name', () => {
  expect(foundPath(found('schedule', 'Every night & day', null))).toBe('/schedules?q=Every%20night%20%26%20day')
})

test('what was found stands by kind, in the order in which it came', () => {
  const items = [found('port', '1/tcp'), found('port', '2/tcp'), found('agent', 'a')]
  expect(grouped(items).map(({ kind, items }) => [kind, items.map(({ at }) => at)])).toEqual([
    ['port', [0, 1]],
    ['agent', [2]],
  ])
})
