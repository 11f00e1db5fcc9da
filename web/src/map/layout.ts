/**
 * Places the map's hosts and subnets on a plane: a map in, coordinates out. It draws nothing.
 *
 * Hosts with the same shared subnets form a group; an IPv6 subnet of the hosts of an IPv4 subnet is
 * one with it. A subnet's hub stands in the middle of the
 * group that holds most of its hosts, with the hosts in a sunflower around it; such a group is an
 * island, and islands are packed on a spiral, the largest first. A group that is no subnet's home
 * (hosts with a foot in several) floats between its hubs. Subnets that are one host's own, as
 * Docker's bridges are, circle that host, and so does what runs on it.
 *
 * The unit is half the distance between two neighbouring hosts. The same map gives the same
 * picture, whatever its order; given what an earlier call remembered, whatever can stay, stays.
 */

import { CircleIndex, SpiralWalk, type Circle, type Point } from './pack'

export interface MapSubnet {
  id: string
  label: string
  kind: string
  host_id: string | null
}

export interface MapHost {
  id: string
  label: string
  agent: boolean
  subnet_ids: string[]
  /** What it is, by the category of what speaks for it; "" where nothing does. */
  kind?: string
}

/** What runs on a host: a service behind a port, or a container with what runs in it. */
export interface MapWorkload {
  id: string
  host_id: string
  kind: 'service' | 'container'
  label: string
  /** The catalogue's name of the service; "" where nobody knows. */
  service: string
  category: string
  ports: number[]
}

export interface MapData {
  subnets: MapSubnet[]
  hosts: MapHost[]
  workloads?: MapWorkload[]
}

/** A circle around an island and the subnets that are at home in it. */
export interface Hull extends Circle {
  subnetIds: string[]
}

/** What a later call needs to keep things where they are. */
export interface Memory {
  islands: ReadonlyMap<string, Circle>
  /** Group to its hosts by place in the sunflower; null where one has left. */
  slots: ReadonlyMap<string, readonly (string | null)[]>
  /** Subnet to the group in which it is at home. */
  homes: ReadonlyMap<string, string>
  points: ReadonlyMap<string, Point>
}

export interface Layout {
  points: Map<string, Point>
  hulls: Hull[]
  /** What circles a host: its own subnets, what runs on it. */
  satellites: Set<string>
  memory: Memory
}

const GOLDEN_ANGLE = Math.PI * (3 - Math.sqrt(5))
/** How much more room a sunflower takes than the circles in it. */
const LOOSENESS = 1.45
const HULL_PADDING = 1.2
/** An island of so many hosts is not a sunflower yet. */
const FEW = 2
const ISLAND_GAP = 2.5
const FLOATING_GAP = 0.8
/** The group of hosts that share no subnet with anyone. */
const ALONE = 'alone'

interface Group {
  key: string
  subnetIds: string[]
  hostIds: string[]
  hubs: string[]
}

interface Cell {
  id: string
  radius: number
}

interface Flower {
  radius: number
  hubs: Point[]
  hosts: Map<string, Point>
  slots: (string | null)[]
}

export function layout(map: MapData, before?: Memory): Layout {
  const { own, groups, homes } = gather(map, before)
  const flowers = new Map<string, Flower>()
  for (const group of groups.values()) {
    const cells = group.hostIds.map((id) => ({ id, radius: cellRadius(own.get(id)?.length ?? 0) }))
    flowers.set(group.key, flower(group.hubs.length, cells, before?.slots.get(group.key)))
  }
  const islands = placeIslands(groups, flowers, homes, before)
  const points = new Map<string, Point>()
  const hulls: Hull[] = []
  const slots = new Map<string, (string | null)[]>()
  for (const group of groups.values()) {
    const form = flowers.get(group.key)
    const at = islands.get(group.key)
    if (!form || !at) continue
    slots.set(group.key, form.slots)
    group.hubs.forEach((id, i) => points.set(id, shift(form.hubs[i] ?? { x: 0, y: 0 }, at)))
    for (const [id, point] of form.hosts) points.set(id, shift(point, at))
    if (group.hubs.length) hulls.push({ ...at, subnetIds: group.hubs })
  }
  const satellites = new Set<string>()
  for (const [hostId, subnetIds] of own) {
    const host = points.get(hostId)
    if (!host) continue
    const places = orbits(subnetIds.length)
    subnetIds.forEach((id, i) => {
      points.set(id, shift(places[i] ?? { x: 0, y: 0 }, host))
      satellites.add(id)
    })
  }
  return { points, hulls, satellites, memory: { islands, slots, homes, points } }
}

/** Sorts the map into groups of hosts, each subnet's home, and the subnets that are one host's own. */
function gather(map: MapData, before: Memory | undefined) {
  const subnets = new Map(map.subnets.map((s) => [s.id, s]))
  const members = new Map<string, string[]>()
  const hosts = [...map.hosts].sort((a, b) => order(a.id, b.id))
  for (const host of hosts) {
    for (const id of new Set(host.subnet_ids)) {
      if (!subnets.has(id)) continue
      const list = members.get(id)
      if (list) list.push(host.id)
      else members.set(id, [host.id])
    }
  }
  const known = new Set(hosts.map((h) => h.id))
  const own = new Map<string, string[]>()
  const isOwn = new Set<string>()
  for (const subnet of [...map.subnets].sort((a, b) => order(a.id, b.id))) {
    const owner = subnet.host_id
    if (!owner || !known.has(owner)) continue
    if ((members.get(subnet.id) ?? []).some((id) => id !== owner)) continue
    isOwn.add(subnet.id)
    add(own, owner, subnet.id)
  }
  for (const { id, host_id } of map.workloads ?? []) if (known.has(host_id)) add(own, host_id, id)

  const linkOf = linksOf(map.subnets, isOwn, members)
  const groups = new Map<string, Group>()
  const group = (key: string, subnetIds: string[]) => {
    let found = groups.get(key)
    if (!found) groups.set(key, (found = { key, subnetIds, hostIds: [], hubs: [] }))
    return found
  }
  const groupOf = new Map<string, string>()
  for (const host of hosts) {
    const its = host.subnet_ids.filter((id) => subnets.has(id) && !isOwn.has(id))
    const shared = [...new Set(its.map((id) => linkOf.get(id) ?? id))].sort(order)
    const key = shared.length ? shared.join(' ') : ALONE
    group(key, shared).hostIds.push(host.id)
    groupOf.set(host.id, key)
  }

  const homes = new Map<string, string>()
  // Of several hubs in one island IPv4's comes first.
  const family = (id: string) => Number(subnets.get(id)?.label.includes(':'))
  for (const id of [...subnets.keys()].sort((a, b) => family(a) - family(b) || order(a, b))) {
    if (isOwn.has(id)) continue
    const link = linkOf.get(id)
    const home = (link && homes.get(link)) ?? homeOf(id, members.get(id) ?? [], groupOf, before?.homes.get(id))
    homes.set(id, home)
    group(home, [id]).hubs.push(id)
  }
  return { own, groups, homes }
}

/** So much of an IPv6 subnet's hosts are in an IPv4 subnet when both are one link. */
const SAME_LINK = 0.8

/**
 * IPv6 subnets that lie on one link with an IPv4 subnet: nearly all their hosts are in it. To what
 * was found there by IPv4 alone they would be strangers otherwise.
 */
function linksOf(subnets: MapSubnet[], isOwn: Set<string>, members: Map<string, string[]>): Map<string, string> {
  const shared = subnets.filter((s) => !isOwn.has(s.id)).sort((a, b) => order(a.id, b.id))
  const of4 = new Map<string, string[]>()
  for (const subnet of shared) {
    if (!subnet.label.includes(':')) for (const host of members.get(subnet.id) ?? []) add(of4, host, subnet.id)
  }
  const found = new Map<string, string>()
  for (const subnet of shared) {
    if (!subnet.label.includes(':')) continue
    const hosts = members.get(subnet.id) ?? []
    const together = new Map<string, number>()
    for (const host of hosts) for (const id of of4.get(host) ?? []) together.set(id, (together.get(id) ?? 0) + 1)
    const [best, n] = [...together].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0] as [string, number])
    if (n > 0 && n >= hosts.length * SAME_LINK) found.set(subnet.id, best)
  }
  return found
}

/** The group with most of the subnet's hosts; the former one as long as it holds half as many. */
function homeOf(
  subnetId: string,
  hostIds: string[],
  groupOf: Map<string, string>,
  former: string | undefined,
): string {
  if (!hostIds.length) return subnetId
  const count = new Map<string, number>()
  for (const id of hostIds) {
    const key = groupOf.get(id) ?? ALONE
    count.set(key, (count.get(key) ?? 0) + 1)
  }
  let best = ''
  for (const [key, n] of count) {
    const most = count.get(best) ?? 0
    // Among equals the group with fewest subnets, so that a LAN keeps its hub to itself.
    if (n > most || (n === most && (key.length < best.length || (key.length === best.length && key < best)))) best = key
  }
  const held = former ? (count.get(former) ?? 0) : 0
  return former && held * 2 >= (count.get(best) ?? 0) ? former : best
}

/** Hubs in the middle, hosts in a sunflower around them; who had a place keeps it. */
function flower(hubCount: number, cells: Cell[], former: readonly (string | null)[] = []): Flower {
  const ring = hubCount > 1 ? Math.max(1.2, (hubCount * 1.3) / Math.PI) : 0
  const hubs = Array.from({ length: hubCount }, (_, i) => polar(ring, Math.PI / 2 + (2 * Math.PI * i) / hubCount))
  const core = hubCount ? ring + 1.2 : 0

  const slots = fillSlots(cells, former)
  const radiusOf = new Map(cells.map((c) => [c.id, c.radius]))
  const hosts = new Map<string, Point>()
  let area = core * core
  let edge = core
  slots.forEach((id, i) => {
    const radius = id === null ? 1 : (radiusOf.get(id) ?? 1)
    const room = radius * radius * LOOSENESS
    const only = !hubCount && i === 0
    const least = core ? core + radius * 0.9 + (slots.length <= FEW ? 1.5 : 0) : 0
    const distance = only ? 0 : Math.max(Math.sqrt(area + room / 2), least)
    area = only ? room : area + room
    if (id === null) return
    hosts.set(id, polar(distance, i * GOLDEN_ANGLE))
    edge = Math.max(edge, distance + radius)
  })
  if (slots.length <= FEW && hubCount) return centred({ radius: 0, hubs, hosts, slots }, radiusOf)
  return { radius: edge + HULL_PADDING, hubs, hosts, slots }
}

/** So few hosts stand on one side of their hubs: what they and the hubs take up is put in the middle. */
function centred(form: Flower, radiusOf: Map<string, number>): Flower {
  const circles: Circle[] = form.hubs.map((at) => ({ ...at, r: 1.2 }))
  for (const [id, at] of form.hosts) circles.push({ ...at, r: radiusOf.get(id) ?? 1 })
  const low = (axis: 'x' | 'y') => Math.min(...circles.map((c) => c[axis] - c.r))
  const high = (axis: 'x' | 'y') => Math.max(...circles.map((c) => c[axis] + c.r))
  const by = { x: -(low('x') + high('x')) / 2, y: -(low('y') + high('y')) / 2 }
  const reach = Math.max(...circles.map((c) => Math.hypot(c.x + by.x, c.y + by.y) + c.r))
  return {
    radius: reach + HULL_PADDING,
    hubs: form.hubs.map((at) => shift(at, by)),
    hosts: new Map([...form.hosts].map(([id, at]) => [id, shift(at, by)])),
    slots: form.slots,
  }
}

function fillSlots(cells: Cell[], former: readonly (string | null)[]): (string | null)[] {
  const present = new Set(cells.map((c) => c.id))
  const slots = former.map((id) => (id !== null && present.has(id) ? id : null))
  const placed = new Set(slots)
  const free = slots.flatMap((id, i) => (id === null ? [i] : []))
  // The first picture has the hosts with satellites inmost, where their larger cells fit best.
  const fresh = cells.filter((c) => !placed.has(c.id)).sort((a, b) => b.radius - a.radius || order(a.id, b.id))
  fresh.forEach((cell, i) => {
    const slot = free[i]
    if (slot === undefined) slots.push(cell.id)
    else slots[slot] = cell.id
  })
  while (slots.length && slots.at(-1) === null) slots.pop()
  return slots
}

function placeIslands(
  groups: Map<string, Group>,
  flowers: Map<string, Flower>,
  homes: Map<string, string>,
  before: Memory | undefined,
): Map<string, Circle> {
  const radius = (g: Group) => flowers.get(g.key)?.radius ?? 1
  const bySize = [...groups.values()].sort((a, b) => radius(b) - radius(a) || order(a.key, b.key))
  const anchored = bySize.filter((g) => g.hubs.length || g.key === ALONE)
  const floating = bySize.filter((g) => !g.hubs.length && g.key !== ALONE)
  const mean = bySize.length ? bySize.reduce((sum, g) => sum + radius(g), 0) / bySize.length : 1
  const index = new CircleIndex(mean * 2)
  const placed = new Map<string, Circle>()
  const put = (group: Group, at: Circle) => {
    index.add(at)
    placed.set(group.key, at)
  }

  const homeless: Group[] = []
  for (const group of anchored) {
    const old = before?.islands.get(group.key)
    const at = old && { x: old.x, y: old.y, r: radius(group) }
    if (at && index.isFree(at, ISLAND_GAP)) put(group, at)
    else homeless.push(group)
  }
  const outward = new SpiralWalk(index, { x: 0, y: 0 })
  for (const group of homeless) {
    const near = before && remembered(group, before)
    put(group, (near ? new SpiralWalk(index, near) : outward).next(radius(group), ISLAND_GAP))
  }
  // Floating groups that want nearly the same place share a walk, else each would search anew what
  // the one before it found full.
  const walks = new Map<string, SpiralWalk>()
  const walkAt = ({ x, y }: Point) => {
    const patch = mean * 4
    const key = `${Math.round(x / patch)} ${Math.round(y / patch)}`
    let walk = walks.get(key)
    if (!walk) walks.set(key, (walk = new SpiralWalk(index, { x, y }, 1000)))
    return walk
  }
  for (const group of floating) {
    const old = before?.islands.get(group.key)
    const at = old && { x: old.x, y: old.y, r: radius(group) }
    const hubs = group.subnetIds.flatMap((id) => placed.get(homes.get(id) ?? '') ?? [])
    if (at && index.isFree(at, 0)) put(group, at)
    else put(group, walkAt(middle(hubs) ?? { x: 0, y: 0 }).next(radius(group), FLOATING_GAP))
  }
  return placed
}

/** Where the group was, or where its hosts were when they belonged to other groups. */
function remembered(group: Group, before: Memory): Point | null {
  const old = before.islands.get(group.key)
  if (old) return old
  return middle([...group.hubs, ...group.hostIds].flatMap((id) => before.points.get(id) ?? []))
}

/** The room a host takes with `satellites` around it. */
function cellRadius(satellites: number): number {
  return satellites ? reach(satellites) + 1 : 1
}

/** Satellites keep to this part of a circle, away from below, where the host's name stands. */
const ORBIT_ARC = Math.PI * 1.2
const FIRST_ORBIT = 1.7
const ORBIT_GAP = 1.3
/** Between two satellites on one orbit. */
const BETWEEN = 1.4

const radiusOf = (ring: number) => FIRST_ORBIT + ring * ORBIT_GAP
const roomOn = (ring: number) => 1 + Math.floor((radiusOf(ring) * ORBIT_ARC) / BETWEEN)

/** How far the outmost of the orbits lies from the host. */
function reach(satellites: number): number {
  let ring = 0
  for (let left = satellites - roomOn(0); left > 0; left -= roomOn(ring)) ring++
  return radiusOf(ring)
}

/** Places around a host, the inmost orbit first. */
function orbits(satellites: number): Point[] {
  const places: Point[] = []
  for (let ring = 0; places.length < satellites; ring++) {
    const here = Math.min(roomOn(ring), satellites - places.length)
    // Few keep to the upper half, clear of the name.
    const arc = ORBIT_ARC * Math.min(1, here / (ring ? roomOn(ring) : 4))
    for (let i = 0; i < here; i++) places.push(polar(radiusOf(ring), Math.PI / 2 + arc * (here === 1 ? 0 : 0.5 - i / (here - 1))))
  }
  return places
}

function add(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key)
  if (list) list.push(value)
  else lists.set(key, [value])
}

function middle(points: Point[]): Point | null {
  if (!points.length) return null
  const sum = points.reduce((a, p) => ({ x: a.x + p.x, y: a.y + p.y }), { x: 0, y: 0 })
  return { x: sum.x / points.length, y: sum.y / points.length }
}

function polar(distance: number, angle: number): Point {
  return { x: distance * Math.cos(angle), y: distance * Math.sin(angle) }
}

function shift(point: Point, by: Point): Point {
  return { x: point.x + by.x, y: point.y + by.y }
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
