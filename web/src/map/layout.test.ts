import { expect, test } from 'vitest'
import { layout, type MapData, type MapHost, type MapSubnet } from './layout'
import type { Point } from './pack'

const subnet = (id: string, over: Partial<MapSubnet> = {}): MapSubnet => ({
  id,
  label: id,
  kind: 'lan',
  host_id: null,
  ...over,
})
const host = (id: string, ...subnet_ids: string[]): MapHost => ({ id, label: id, agent: false, subnet_ids })
const hosts = (n: number, prefix: string, ...subnet_ids: string[]) =>
  Array.from({ length: n }, (_, i) => host(`${prefix}${String(i).padStart(5, '0')}`, ...subnet_ids))
const apart = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y)

/** A site of `n` hosts: 40 LANs, one host in twenty in two of them, one in ten with bridges of its own. */
function site(n: number): MapData {
  const map: MapData = { subnets: [], hosts: [] }
  for (let k = 0; k < 40; k++) map.subnets.push(subnet(`lan${k}`))
  for (let i = 0; i < n; i++) {
    const ids = [`lan${(i * i) % 40}`]
    if (i % 20 === 0) ids.push(`lan${(i / 20 + 1) % 40}`)
    if (i % 10 === 5) {
      for (let d = 0; d < 3; d++) {
        map.subnets.push(subnet(`h${i}-bridge${d}`, { kind: 'docker_bridge', host_id: `h${i}` }))
        ids.push(`h${i}-bridge${d}`)
      }
    }
    map.hosts.push(host(`h${i}`, ...ids))
  }
  return map
}

test('every host and every subnet has a place', () => {
  const map = site(1000)
  const { points } = layout(map)
  for (const node of [...map.hosts, ...map.subnets]) {
    const at = points.get(node.id)
    expect(Number.isFinite(at?.x) && Number.isFinite(at?.y), node.id).toBe(true)
  }
  expect(points.size).toBe(map.hosts.length + map.subnets.length)
})

test('the same map gives the same picture, whatever its order', () => {
  const map = site(300)
  const turned = { subnets: [...map.subnets].reverse(), hosts: [...map.hosts].reverse() }
  expect([...layout(turned).points].sort()).toEqual([...layout(map).points].sort())
})

test('islands do not overlap', () => {
  const { hulls } = layout(site(2000))
  for (const [i, a] of hulls.entries()) {
    for (const b of hulls.slice(i + 1)) expect(apart(a, b)).toBeGreaterThan(a.r + b.r)
  }
})

test('a host stands in the hull of its only subnet, and no two hosts stand in one place', () => {
  const { points, hulls } = layout({ subnets: [subnet('lan')], hosts: hosts(500, 'h', 'lan') })
  const [hull] = hulls
  const places = hosts(500, 'h').map((h) => points.get(h.id) as Point)
  for (const at of places) expect(apart(at, hull as Point)).toBeLessThan(hull?.r ?? 0)
  let nearest = Infinity
  places.forEach((a, i) => places.slice(i + 1).forEach((b) => (nearest = Math.min(nearest, apart(a, b)))))
  expect(nearest).toBeGreaterThan(1.5)
})

test('a host in two subnets stands between their hubs and in neither hull', () => {
  const map = { subnets: [subnet('a'), subnet('b')], hosts: [...hosts(40, 'a-', 'a'), ...hosts(40, 'b-', 'b'), host('router', 'a', 'b')] }
  const { points, hulls } = layout(map)
  const router = points.get('router') as Point
  for (const hull of hulls) expect(apart(router, hull)).toBeGreaterThan(hull.r)
  const [a, b] = hulls as Point[] as [Point, Point]
  expect(Math.max(apart(router, a), apart(router, b))).toBeLessThan(apart(a, b))
})

test('hosts with IPv4 and IPv6 on one link are one island with two hubs in its middle', () => {
  const { hulls, points } = layout({ subnets: [subnet('v4'), subnet('v6')], hosts: hosts(30, 'h', 'v4', 'v6') })
  expect(hulls).toHaveLength(1)
  expect(hulls[0]?.subnetIds).toEqual(['v4', 'v6'])
  const hub = apart(points.get('v4') as Point, hulls[0] as Point)
  for (const h of hosts(30, 'h')) expect(apart(points.get(h.id) as Point, hulls[0] as Point)).toBeGreaterThan(hub)
})

test('hosts that were found by IPv4 alone stand with those of their link that have IPv6 too', () => {
  const v6 = subnet('v6', { label: 'fd00::/64' })
  const map = { subnets: [subnet('v4', { label: '10.0.0.0/24' }), v6], hosts: [...hosts(5, 'both', 'v4', 'v6'), ...hosts(40, 'found', 'v4')] }
  const { hulls, points } = layout(map)
  expect(hulls).toHaveLength(1)
  expect(hulls[0]?.subnetIds).toEqual(['v4', 'v6'])
  for (const host of map.hosts) expect(apart(points.get(host.id) as Point, hulls[0] as Point)).toBeLessThan(hulls[0]?.r ?? 0)
})

test('an IPv6 subnet whose hosts are in several IPv4 subnets makes no island of them', () => {
  const label = (id: string) => ({ label: id })
  const map = {
    subnets: [subnet('a', label('10.0.0.0/24')), subnet('b', label('10.0.1.0/24')), subnet('v6', label('fd00::/64'))],
    hosts: [...hosts(4, 'a', 'a', 'v6'), ...hosts(4, 'b', 'b', 'v6')],
  }
  expect(layout(map).hulls).toHaveLength(2)
})

test('a subnet that is one host\'s own circles that host and has no hull', () => {
  const map = {
    subnets: [subnet('lan'), subnet('docker0', { kind: 'docker_bridge', host_id: 'h' })],
    hosts: [host('h', 'lan', 'docker0')],
  }
  const { points, hulls, satellites } = layout(map)
  expect([...satellites]).toEqual(['docker0'])
  expect(hulls.map((h) => h.subnetIds)).toEqual([['lan']])
  expect(apart(points.get('h') as Point, points.get('docker0') as Point)).toBeLessThan(3)
})

test('a subnet said to be one host\'s own, but in which others are too, is a hub like any other', () => {
  const map = { subnets: [subnet('net', { host_id: 'a' })], hosts: [host('a', 'net'), host('b', 'net')] }
  expect(layout(map).hulls).toHaveLength(1)
})

test('a subnet without hosts, a host without subnets, and an unknown subnet are no trouble', () => {
  const { points } = layout({ subnets: [subnet('empty')], hosts: [host('alone'), host('lost', 'unknown')] })
  expect([...points.keys()].sort()).toEqual(['alone', 'empty', 'lost'])
  expect(layout({ subnets: [], hosts: [] }).points.size).toBe(0)
})

test('a host that comes moves nobody', () => {
  const map = site(400)
  const first = layout(map)
  const second = layout({ ...map, hosts: [host('0-new', 'lan4'), ...map.hosts] }, first.memory)
  const moved = [...first.points].filter(([id, at]) => apart(at, second.points.get(id) as Point) > 0.01)
  expect(second.points.has('0-new')).toBe(true)
  expect(moved).toEqual([])
})

test('a host that leaves moves nobody, and the next one takes its place', () => {
  const map = { subnets: [subnet('lan')], hosts: hosts(50, 'h', 'lan') }
  const first = layout(map)
  const left = layout({ ...map, hosts: map.hosts.filter((h) => h.id !== 'h00017') }, first.memory)
  for (const [id, at] of left.points) expect(at).toEqual(first.points.get(id))
  const again = layout({ ...map, hosts: [...map.hosts.filter((h) => h.id !== 'h00017'), host('z', 'lan')] }, left.memory)
  expect(again.points.get('z')).toEqual(first.points.get('h00017'))
})

test('an island that outgrows its place pushes only what is in its way, and nothing overlaps', () => {
  const map = site(400)
  const first = layout(map)
  const second = layout({ ...map, hosts: [...map.hosts, ...hosts(200, 'new', 'lan39')] }, first.memory)
  for (const [i, a] of second.hulls.entries()) {
    for (const b of second.hulls.slice(i + 1)) expect(apart(a, b)).toBeGreaterThan(a.r + b.r)
  }
  const stayed = first.hulls.filter((hull) =>
    second.hulls.some((other) => other.subnetIds[0] === hull.subnetIds[0] && apart(hull, other) < 0.01),
  )
  expect(stayed.length).toBeGreaterThan(first.hulls.length / 2)
})

const fastest = (map: MapData, tries = 5) => {
  const times = Array.from({ length: tries }, () => {
    const start = performance.now()
    layout(map)
    return performance.now() - start
  })
  return Math.min(...times)
}

test('ten times the hosts take not much more than ten times as long to place', () => {
  const few = site(1000)
  layout(few)
  expect(fastest(site(10_000)) / fastest(few)).toBeLessThan(40)
})

test('what runs on a host circles it, on as many orbits as it takes, and nothing is in one place', () => {
  const workloads = Array.from({ length: 77 }, (_, i) => ({
    id: `w${i}`, host_id: 'h', kind: 'container' as const, label: `w${i}`, service: '', category: '', ports: [],
  }))
  const map = { subnets: [subnet('lan')], hosts: [host('h', 'lan'), host('other', 'lan')], workloads }
  const { points, satellites, hulls } = layout(map)
  const places = workloads.map((w) => points.get(w.id) as Point)
  expect(satellites.size).toBe(77)
  let nearest = Infinity
  places.forEach((a, i) => places.slice(i + 1).forEach((b) => (nearest = Math.min(nearest, apart(a, b)))))
  expect(nearest).toBeGreaterThan(1)
  for (const at of places) expect(apart(at, hulls[0] as Point)).toBeLessThan(hulls[0]?.r ?? 0)
})

test('what runs on a host that the map does not show has no place', () => {
  const work = { id: 'w', host_id: 'away', kind: 'service' as const, label: 'w', service: '', category: '', ports: [] }
  expect(layout({ subnets: [], hosts: [], workloads: [work] }).points.size).toBe(0)
})

test('also where each host is in subnets that no other combines', () => {
  const knot = (hosts: number): MapData => ({
    subnets: Array.from({ length: 200 }, (_, i) => subnet(`s${i}`)),
    hosts: Array.from({ length: hosts }, (_, i) => host(`h${i}`, `s${i % 200}`, `s${(i * 7 + Math.floor(i / 200)) % 200}`)),
  })
  const few = knot(1000)
  layout(few)
  expect(fastest(knot(10_000), 2) / fastest(few)).toBeLessThan(40)
})
