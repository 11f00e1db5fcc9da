import Graph from 'graphology'
import { beforeEach, expect, test } from 'vitest'
import { faint, links, looks, sizesFor, update, type Palette } from './graph'
import { layout, type Layout, type MapData } from './layout'

const palette: Palette = { host: '#111', agent: '#222', edge: '#333', kind: (kind) => (kind === 'lan' ? '#00f' : '#0ff'), tint: () => '#0f0' }
const small: MapData = {
  subnets: [{ id: 'lan', label: '10.0.0.0/24', kind: 'lan', host_id: null }],
  hosts: [
    { id: 'a', label: 'a', agent: true, subnet_ids: ['lan'] },
    { id: 'b', label: 'b', agent: false, subnet_ids: ['lan', 'unknown'] },
  ],
}

let graph: Graph
let touched: string[]

beforeEach(() => {
  graph = new Graph()
  touched = []
  for (const event of ['nodeAdded', 'nodeDropped', 'nodeAttributesUpdated', 'edgeAdded', 'edgeDropped', 'edgeAttributesUpdated'] as const) {
    graph.on(event, ({ key }: { key: string }) => void touched.push(`${event} ${key}`))
  }
})

function draw(map: MapData, places: Layout, colours: Palette) {
  update(graph, looks(map, places, colours, sizesFor(10)), links(map, places), colours.edge)
}

function show(map: MapData, over: Partial<Palette> = {}) {
  const colours = { ...palette, ...over }
  touched.length = 0
  draw(map, layout(map), colours)
}

test('a map becomes nodes and links, and a link to nowhere is left out', () => {
  show(small)
  expect(graph.nodes().sort()).toEqual(['a', 'b', 'lan'])
  expect(graph.edges().sort()).toEqual(['a lan', 'b lan'])
  expect(graph.getNodeAttribute('a', 'color')).toBe('#222')
  expect(graph.getNodeAttribute('lan', 'color')).toBe('#00f')
})

test('the same map again touches nothing', () => {
  show(small)
  show(structuredClone(small))
  expect(touched).toEqual([])
})

test('a host that comes or goes touches itself and its links alone', () => {
  const host = (id: string) => ({ id, label: id, agent: false, subnet_ids: ['lan'] })
  const some = { ...small, hosts: ['a', 'b', 'c', 'd'].map(host) }
  const more = { ...small, hosts: ['a', 'b', 'c', 'd', 'e'].map(host) }
  show(some)
  const { memory } = layout(some)
  touched.length = 0
  draw(more, layout(more, memory), palette)
  expect(touched).toEqual(['nodeAdded e', 'edgeAdded e lan'])
  touched.length = 0
  draw(some, layout(some, memory), palette)
  expect(touched).toEqual(['edgeDropped e lan', 'nodeDropped e'])
})

test('a new theme recolours and moves nothing', () => {
  show(small)
  const at = graph.getNodeAttribute('b', 'x') as number
  show(small, { host: '#fff' })
  expect(touched).toEqual(['nodeAttributesUpdated b'])
  expect(graph.getNodeAttribute('b', 'x')).toBe(at)
})

test('nodes of a crowded map are small, of an empty one not huge, and hubs stand out in both', () => {
  for (const unit of [0.5, 4, 30, 300]) {
    const sizes = sizesFor(unit)
    expect(sizes.host).toBeGreaterThan(1)
    expect(sizes.hub).toBeLessThan(10)
    expect(sizes.hub).toBeGreaterThan(sizes.host)
  }
})

test('a faint colour is multiplied by its alpha', () => {
  expect(faint('#ff8000', 0.5)).toBe('#80400080')
})

test('a host in all the subnets of an island has one link to it, and one in some a link to each', () => {
  const subnet = (id: string) => ({ id, label: id, kind: 'lan', host_id: null })
  const host = (id: string, ...subnet_ids: string[]) => ({ id, label: id, agent: false, subnet_ids })
  const map = { subnets: [subnet('v4'), subnet('v6')], hosts: [host('a', 'v4', 'v6'), host('b', 'v4', 'v6'), host('c', 'v6')] }
  expect([...links(map, layout(map)).keys()].sort()).toEqual(['a v4', 'b v4', 'c v6', 'v4 v6'])
})
