import { expect, test } from 'vitest'
import type { MapData } from './layout'
import { categories, find, kinds, ofCategory, rows, typeOf, without } from './rows'

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

const work = { host_id: 'h2', service: '', ports: [] }
const running: MapData = {
  ...map,
  workloads: [
    { ...work, id: 'w1', kind: 'service', label: 'Grafana', category: 'monitoring' },
    { ...work, id: 'w2', kind: 'container', label: 'shop-db-1', category: 'database' },
    { ...work, id: 'w3', kind: 'container', label: 'lost', category: 'database', host_id: 'unknown' },
  ],
}

test('what runs on hosts comes after them and names its host; what runs nowhere on the map is left out', () => {
  const last = rows(running).slice(-2)
  expect(last.map((r) => `${r.type} ${r.label} on ${r.about}`)).toEqual(['service Grafana on web-2', 'container shop-db-1 on web-2'])
  expect(find(rows(running), 'grafana')[0]?.id).toBe('w1')
})

test('a category can be left out, and each node is known by its id', () => {
  const left = without(running, new Set([ofCategory('database')]))
  expect(left.workloads?.map((w) => w.id)).toEqual(['w1'])
  expect(categories(running)).toEqual([
    { category: 'database', count: 2 },
    { category: 'monitoring', count: 1 },
  ])
  expect(['h3', 's2', 'w1', 'w2', 'no'].map((id) => typeOf(running, id))).toEqual(['host', 'subnet', 'service', 'container', undefined])
})
