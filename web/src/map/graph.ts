/** Brings a graph up to a map and its layout by touching only what differs. */

import type Graph from 'graphology'
import { categoryLook, hostLook } from '../services/categories'
import type { IconName } from '../ui/icons'
import { BUS } from './buses'
import type { Layout, MapData } from './layout'

/** The map's colours, read from the page's own tokens. */
export interface Palette {
  host: string
  agent: string
  edge: string
  kind(kind: string): string
  /** The colour of a category of services. */
  tint(category: string): string
}

/** Radii in pixels at the scale at which the whole map is seen. */
export interface Sizes {
  host: number
  agent: number
  hub: number
  satellite: number
}

export interface NodeLook {
  type: 'point' | 'diamond' | 'square'
  x: number
  y: number
  size: number
  color: string
  /** Null where the layer of hulls says it. */
  label: string | null
  /** Where the label stands: below the node, or away from the host that it circles. */
  side: Side
  /** Whether the label stands whatever there is beside it. */
  forceLabel: boolean
  /** The sign drawn on it where there is room. */
  sign: IconName | null
}

/** So few nodes that all their labels have room. */
export const FEW_NODES = 24
/** Pixels of a link's thickness. */
const LINK = 0.8
/** A diamond of the same reach as a disc looks smaller. */
const DIAMOND = 1.45
/** From so many hosts on, what runs on them has no links of its own: it stands beside its host. */
const MANY_LINKED = 300

export type Side = 'below' | 'above' | 'left' | 'right'

/** Radii that suit a scale of `unit` pixels for each of the layout's units. */
export function sizesFor(unit: number): Sizes {
  const between = (least: number, size: number, most: number) => Math.min(most, Math.max(least, size))
  const host = between(1.3, unit * 0.42, 8.5)
  return {
    host,
    agent: host * 1.25,
    hub: between(host + 0.8, unit * 0.7, 9.5),
    satellite: between(1, unit * 0.34, 6.5),
  }
}

/** The colour at `alpha` (0 to 1) as the renderer wants it: its blending takes colours multiplied by their alpha. */
export function faint(hex: string, alpha: number): string {
  const part = (from: number) => Math.round(parseInt(hex.slice(from, from + 2), 16) * alpha)
  const two = (value: number) => value.toString(16).padStart(2, '0')
  return `#${two(part(1))}${two(part(3))}${two(part(5))}${two(Math.round(alpha * 255))}`
}

/** How each node of the map looks. */
export function looks(map: MapData, layout: Layout, palette: Palette, sizes: Sizes): Map<string, NodeLook> {
  const all = new Map<string, NodeLook>()
  // Where a hull names several subnets, each hub says which it is.
  const crowded = new Set(layout.hulls.flatMap((hull) => (hull.subnetIds.length > 1 ? hull.subnetIds : [])))
  const forceLabel = map.hosts.length + map.subnets.length + (map.workloads?.length ?? 0) <= FEW_NODES
  const add = (id: string, look: Omit<NodeLook, 'x' | 'y' | 'forceLabel' | 'type' | 'side' | 'sign'> & Partial<NodeLook>) => {
    const at = layout.points.get(id)
    if (at) all.set(id, { type: 'point', side: 'below', sign: null, ...look, x: at.x, y: at.y, forceLabel })
  }
  for (const subnet of map.subnets) {
    const bus = subnet.kind === BUS
    const orbits = layout.satellites.has(subnet.id)
    const size = (orbits ? sizes.satellite : sizes.hub) * (bus ? DIAMOND : 1)
    const named = orbits || (forceLabel && crowded.has(subnet.id))
    add(subnet.id, {
      type: bus ? 'diamond' : 'point',
      size,
      color: palette.kind(subnet.kind),
      label: named ? subnet.label : null,
      side: orbits ? sideOf(subnet.id, subnet.host_id, layout) : 'below',
    })
  }
  for (const work of map.workloads ?? []) {
    add(work.id, {
      type: work.kind === 'container' ? 'square' : 'point',
      size: sizes.satellite,
      color: palette.tint(work.category),
      label: work.label,
      side: sideOf(work.id, work.host_id, layout),
      sign: categoryLook(work.category || work.kind).icon,
    })
  }
  for (const host of map.hosts) {
    const [size, color] = host.agent ? [sizes.agent, palette.agent] : [sizes.host, palette.host]
    add(host.id, { size, color, label: host.label, sign: hostLook(host.kind ?? '').icon })
  }
  return all
}

function sideOf(id: string, hostId: string | null, layout: Layout): Side {
  const at = layout.points.get(id)
  const host = layout.points.get(hostId ?? '')
  if (!at || !host) return 'below'
  if (Math.abs(at.x - host.x) > Math.abs(at.y - host.y) * 0.5) return at.x > host.x ? 'right' : 'left'
  return at.y > host.y ? 'above' : 'below'
}

/** What a link joins. */
export type Links = Map<string, [string, string]>

/**
 * The links between hosts and their subnets. Where several hubs share an island (a link with IPv4
 * and IPv6, say) they are joined to one another, and a host that is in all of them to the first.
 */
export function links(map: MapData, layout: Layout): Links {
  const found: Links = new Map()
  const join = (a: string, b: string) => found.set(`${a} ${b}`, [a, b])
  const together = new Map<string, string[]>()
  for (const { subnetIds } of layout.hulls) {
    const [first, ...others] = subnetIds
    for (const other of others) {
      together.set(other, subnetIds)
      if (first !== undefined) join(first, other)
    }
  }
  for (const host of map.hosts) {
    const ids = new Set(host.subnet_ids)
    for (const id of ids) {
      const implied = together.get(id)?.every((other) => ids.has(other))
      if (!implied && layout.points.has(id)) join(host.id, id)
    }
  }
  if (map.hosts.length <= MANY_LINKED) {
    for (const { id, host_id } of map.workloads ?? []) if (layout.points.has(id)) join(host_id, id)
  }
  return found
}

/** The least change that makes `graph` show the nodes as they look, and the links. */
export function update(graph: Graph, nodes: Map<string, NodeLook>, links: Links, edgeColor: string): void {
  for (const edge of graph.edges()) if (!links.has(edge)) graph.dropEdge(edge)
  for (const node of graph.nodes()) if (!nodes.has(node)) graph.dropNode(node)
  for (const [id, look] of nodes) {
    if (!graph.hasNode(id)) graph.addNode(id, look)
    else if (differs(graph.getNodeAttributes(id), look)) graph.mergeNodeAttributes(id, look)
  }
  for (const [id, [from, to]] of links) {
    if (!graph.hasEdge(id)) graph.addEdgeWithKey(id, from, to, { color: edgeColor, size: LINK })
    else if (graph.getEdgeAttribute(id, 'color') !== edgeColor) graph.setEdgeAttribute(id, 'color', edgeColor)
  }
}

function differs(have: Partial<NodeLook>, want: NodeLook): boolean {
  return (
    have.type !== want.type ||
    have.x !== want.x ||
    have.y !== want.y ||
    have.size !== want.size ||
    have.color !== want.color ||
    have.label !== want.label ||
    have.side !== want.side ||
    have.forceLabel !== want.forceLabel ||
    have.sign !== want.sign
  )
}
