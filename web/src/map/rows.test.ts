import { expect, test } from 'vitest'
import type { MapData } from './layout'
import { find, kinds, rows, without } from './rows'

const map: MapData = {
  subnets: [
    { id: 's1', label: '10.0.0.0/24', kind: 'lan', host_id: null },
    { id: 's2', label: '172.17.0.0/16', kind: 'docker_bridge', host_id: 'h2' },
  ],
  hosts: [
    { id: 'h10', label: 'web-10', agent: false, subnet_ids: ['s1'] },
    { id: 'h2', label: 'web-2', agent: true, subnet_ids: ['s1', 's2', 'unknown'] },
    { id: 'h3', label: 'my-web', agent: false, subnet_ids: [] },
  ],
}

test('subnets come first, and names are sorted as people sort them', () => {
  expect(rows(map).map((r) => r.label)).toEqual(['10.0.0.0/24', '172.17.0.0/16', 'my-web', 'web-2', 'web-10'])
  expect(rows(map).map((r) => r.about)).toEqual(['2 hosts', '1 host', '', '10.0.0.0/24, 172.17.0.0/16', '10.0.0.0/24'])
})

test('what begins with the text is found before what only holds it', () => {
  expect(find(rows(map), ' WEB').map((r) => r.label)).toEqual(['web-2', 'web-10', 'my-web'])
  expect(find(rows(map), '')).toHaveLength(5)
  expect(find(rows(map), 'nothing')).toEqual([])
})

test('a kind of subnet can be left out', () => {
  expect(without(map, new Set(['docker_bridge'])).subnets.map((s) => s.id)).toEqual(['s1'])
  expect(kinds(map)).toEqual([
    { kind: 'docker_bridge', count: 1 },
    { kind: 'lan', count: 1 },
  ])
})
