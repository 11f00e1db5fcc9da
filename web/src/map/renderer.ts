/**
 * The picture of the map: holds the WebGL renderer, shows what it is told, and says what was
 * clicked. It knows neither queries nor components.
 */

import Graph from 'graphology'
import Sigma from 'sigma'
import { EdgeLineProgram, EdgeRectangleProgram, NodePointProgram } from 'sigma/rendering'
import type { Settings } from 'sigma/settings'
import { Taken, type Box } from './boxes'
import { DiamondProgram, SquareProgram } from './shapes'
import { faint, links, looks, sizesFor, update, FEW_NODES, type NodeLook, type Palette, type Side } from './graph'
import { drawHulls, drawNames, inSight, type HullLook } from './hulls'
import { drawSign } from './signs'
import { layout, type Layout, type MapData, type Memory } from './layout'

export interface Theme extends Palette {
  ground: string
  surface: string
  text: string
  muted: string
  edgeStrong: string
  /** Around labels, so that they can be read on anything. */
  halo: string
  font: string
}

interface Frame {
  x: [number, number]
  y: [number, number]
}

const PADDING = 36
/** Pixels at the top that the tools lie over, beyond the padding. */
const TOOLS = 44
/** However little there is to see, it is not blown up beyond so many units across. */
const LEAST_SPAN = 18
/** Pixels for a unit at which a host and its neighbours can be told apart. */
const READABLE_UNIT = 32
/** How nodes grow as one comes nearer: less than what is between them, up to so many pixels of radius. */
const GROWTH = 0.75
const LARGEST = 15
/** Pixels for a unit from which a host's own subnets have their names. */
const ROOMY_UNIT = 55
/** A node smaller than this (pixels of radius) has no room for a sign. */
const LEAST_SIGNED = 6
/** How much of a node its sign takes. */
const SIGN_SHARE = 0.72
const SIGN_STROKE = 2
/** From so many hosts on, links are faint hairlines and are hidden while the picture moves. */
const MANY_HOSTS = 600

export class MapRenderer {
  private readonly graph = new Graph()
  private readonly sigma: Sigma
  private readonly hullContext: CanvasRenderingContext2D
  private readonly nameContext: CanvasRenderingContext2D
  private readonly signContext: CanvasRenderingContext2D
  private map: MapData = { subnets: [], hosts: [] }
  private layout: Layout | null = null
  private memory: Memory | undefined
  private hulls: HullLook[] = []
  private selected: string | null = null
  private readonly labels = new Taken()
  private box: Frame = { x: [-LEAST_SPAN / 2, LEAST_SPAN / 2], y: [-LEAST_SPAN / 2, LEAST_SPAN / 2] }

  /** Throws where the browser has no WebGL. */
  constructor(
    container: HTMLElement,
    private theme: Theme,
    private readonly calm: boolean,
    onSelect: (id: string | null) => void,
  ) {
    this.sigma = new Sigma(this.graph, container, {
      nodeProgramClasses: { point: NodePointProgram, diamond: DiamondProgram, square: SquareProgram },
      edgeProgramClasses: { line: EdgeLineProgram, soft: EdgeRectangleProgram },
      defaultNodeType: 'point',
      defaultEdgeType: 'soft',
      hideLabelsOnMove: true,
      enableCameraRotation: false,
      stagePadding: PADDING,
      minCameraRatio: 0.004,
      maxCameraRatio: 1.8,
      labelSize: 12,
      labelWeight: '500',
      labelDensity: 1,
      labelGridCellSize: 70,
      labelRenderedSizeThreshold: 3.5,
      minEdgeThickness: 1.2,
      zoomToSizeRatioFunction: (ratio) => this.sizeRatio(ratio),
      ...this.themeSettings(),
    })
    // `createCanvasContext` hands its options on to `createLayer`, which knows `beforeLayer`.
    this.sigma.createCanvasContext('hulls', { beforeLayer: 'edges' } as object)
    // Above all but the layer that hears the mouse.
    this.sigma.createCanvasContext('signs', { beforeLayer: 'mouse' } as object)
    this.sigma.resize(true)
    this.signContext = this.context('signs')
    this.hullContext = this.context('hulls')
    this.nameContext = this.context('labels')
    this.sigma.on('beforeRender', () => this.labels.clear())
    this.sigma.on('afterRender', () => {
      this.drawHulls()
      this.drawSigns()
    })
    this.sigma.on('clickNode', ({ node }) => onSelect(node))
    this.sigma.on('clickStage', () => onSelect(null))
    this.sigma.on('enterNode', () => (container.style.cursor = 'pointer'))
    this.sigma.on('leaveNode', () => (container.style.cursor = ''))
  }

  show(map: MapData): void {
    this.map = map
    this.layout = layout(map, this.memory)
    this.memory = this.layout.memory
    this.fitBox()
    this.draw()
  }

  setTheme(theme: Theme): void {
    this.theme = theme
    this.sigma.setSettings(this.themeSettings())
    this.draw()
  }

  /** Marks a node and its links; null marks none. */
  select(id: string | null): void {
    this.mark(this.selected, false)
    this.selected = id
    this.mark(id, true)
  }

  /** Moves the view to a node, near enough to tell it from its neighbours. */
  focus(id: string): void {
    if (!this.graph.hasNode(id)) return
    // What was changed since the last drawing has no place in the view before the next.
    this.sigma.refresh()
    const at = this.sigma.getNodeDisplayData(id)
    if (!at) return
    const camera = this.sigma.getCamera()
    const near = Math.min(camera.ratio, this.unit() / READABLE_UNIT)
    this.move({ x: at.x, y: at.y, ratio: Math.max(0.004, Math.min(1, near)) })
  }

  zoom(factor: number): void {
    const camera = this.sigma.getCamera()
    this.move({ ratio: camera.getBoundedRatio(camera.ratio * factor) })
  }

  /** Shows the whole map. */
  fit(): void {
    this.box = this.neededBox()
    this.sigma.setCustomBBox(this.box)
    this.draw()
    this.move({ x: 0.5, y: 0.5, ratio: 1 })
  }

  resize(): void {
    this.sigma.resize()
    this.draw()
  }

  kill(): void {
    this.sigma.kill()
  }

  private draw(): void {
    if (!this.layout) return
    const nodes = looks(this.map, this.layout, this.theme, sizesFor(this.unit()))
    update(this.graph, nodes, links(this.map, this.layout), this.linkColor())
    if (this.selected && !this.graph.hasNode(this.selected)) this.selected = null
    this.mark(this.selected, true)
    const large = this.isLarge()
    if (this.sigma.getSetting('hideEdgesOnMove') !== large) {
      this.sigma.setSettings({ hideEdgesOnMove: large, defaultEdgeType: large ? 'line' : 'soft' })
    }
    const subnets = new Map(this.map.subnets.map((s) => [s.id, s]))
    this.hulls = this.layout.hulls
      .map((hull) => {
        const at = hull.subnetIds.flatMap((id) => subnets.get(id) ?? [])
        return { hull, color: this.theme.kind(at[0]?.kind ?? ''), names: at.map((s) => s.label).sort(byFamily) }
      })
      .sort((a, b) => b.hull.r - a.hull.r)
    this.sigma.refresh({ schedule: true })
  }

  private drawHulls(): void {
    const size = this.sigma.getDimensions()
    const seen = inSight(this.hulls, size, (point) => this.sigma.graphToViewport(point))
    drawHulls(this.hullContext, size, seen)
    const { font, muted, ground } = this.theme
    drawNames(this.nameContext, seen, { font: `600 12px ${font}`, text: muted, ground })
  }

  /** Signs on the nodes that are large enough; none while a large picture moves. */
  private drawSigns(): void {
    const context = this.signContext
    const { width, height } = this.sigma.getDimensions()
    context.clearRect(0, 0, width, height)
    const scale = this.sigma.scaleSize(1)
    if (sizesFor(this.unit()).agent * scale < LEAST_SIGNED) return
    if (this.isLarge() && this.sigma.getCamera().isAnimated()) return
    context.strokeStyle = this.theme.ground
    context.lineWidth = SIGN_STROKE
    context.lineCap = context.lineJoin = 'round'
    this.graph.forEachNode((node, attributes) => {
      const { sign, size } = attributes as NodeLook
      const radius = size * scale
      if (!sign || radius < LEAST_SIGNED) return
      const shown = this.sigma.getNodeDisplayData(node)
      if (!shown) return
      const at = this.sigma.framedGraphToViewport(shown)
      if (at.x < -radius || at.y < -radius || at.x > width + radius || at.y > height + radius) return
      drawSign(context, sign, at, radius * SIGN_SHARE)
    })
  }

  private context(layer: string): CanvasRenderingContext2D {
    const context = this.sigma.getCanvases()[layer]?.getContext('2d')
    if (!context) throw new Error('This browser gives no canvas to draw on.')
    return context
  }

  /** Of many links each is faint, so that where they are dense something can still be seen. */
  private linkColor(): string {
    return this.isLarge() ? faint(this.theme.edge, 0.22) : this.theme.edge
  }

  /** Whether there is room for the names of what circles a host. */
  private isRoomy(): boolean {
    const few = this.map.hosts.length + this.map.subnets.length + (this.map.workloads?.length ?? 0) <= FEW_NODES
    return few || this.unit() / this.sigma.getCamera().ratio > ROOMY_UNIT
  }

  private isLarge(): boolean {
    return this.map.hosts.length > MANY_HOSTS
  }

  private mark(id: string | null, on: boolean): void {
    if (id === null || !this.graph.hasNode(id)) return
    this.graph.setNodeAttribute(id, 'highlighted', on)
    const color = on ? this.theme.edgeStrong : this.linkColor()
    this.graph.forEachEdge(id, (edge) => this.graph.setEdgeAttribute(edge, 'color', color))
  }

  /** Pixels for one unit of the layout when the whole map is seen. */
  private unit(): number {
    const { width, height } = this.sigma.getDimensions()
    const across = Math.min(
      (width - 2 * PADDING) / (this.box.x[1] - this.box.x[0]),
      (height - 2 * PADDING) / (this.box.y[1] - this.box.y[0]),
    )
    return Math.max(0.1, across)
  }

  /** While nobody has moved the view it follows the map's growth, in leaps rather than at each host. */
  private fitBox(): void {
    const { x, y, ratio } = this.sigma.getCamera()
    const untouched = x === 0.5 && y === 0.5 && ratio === 1
    const need = this.neededBox()
    const holds = (['x', 'y'] as const).every((axis) => need[axis][0] >= this.box[axis][0] && need[axis][1] <= this.box[axis][1])
    const snug = area(need) > area(this.box) * 0.5
    if (this.sigma.getCustomBBox() && (!untouched || (holds && snug))) return
    this.box = need
    this.sigma.setCustomBBox(need)
  }

  private neededBox(): Frame {
    const box: Frame = { x: [Infinity, -Infinity], y: [Infinity, -Infinity] }
    const cover = (axis: 'x' | 'y', at: number, r: number) => {
      box[axis] = [Math.min(box[axis][0], at - r), Math.max(box[axis][1], at + r)]
    }
    for (const axis of ['x', 'y'] as const) {
      for (const point of this.layout?.points.values() ?? []) cover(axis, point[axis], 1)
      for (const hull of this.layout?.hulls ?? []) cover(axis, hull[axis], hull.r + (axis === 'y' ? 1 : 0))
      const [low, high] = Number.isFinite(box[axis][0]) ? box[axis] : [0, 0]
      const spare = Math.max(0, LEAST_SPAN - (high - low)) / 2
      box[axis] = [low - spare, high + spare]
    }
    box.y[1] += (box.y[1] - box.y[0]) * Math.min(0.15, TOOLS / this.sigma.getDimensions().height)
    return box
  }

  private sizeRatio(ratio: number): number {
    return Math.max(ratio ** GROWTH, Math.min(1, sizesFor(this.unit()).hub / LARGEST))
  }

  private move(to: { x?: number; y?: number; ratio?: number }): void {
    const camera = this.sigma.getCamera()
    if (this.calm) camera.setState(to)
    else void camera.animate(to, { duration: 350 })
  }

  private themeSettings(): Partial<Settings> {
    return {
      labelFont: this.theme.font,
      labelColor: { color: this.theme.text },
      defaultEdgeColor: this.theme.edge,
      defaultNodeColor: this.theme.host,
      defaultDrawNodeLabel: (context, data, settings) => {
        const label = typeof data.label === 'string' ? data.label : ''
        const orbits = (data as Partial<NodeLook>).side !== 'below'
        if (!label || (orbits && !this.isRoomy())) return
        context.font = `${settings.labelWeight} ${settings.labelSize}px ${settings.labelFont}`
        const at = labelPlace(data, settings.labelSize)
        if (!this.labels.take(labelBox(at, context.measureText(label).width, settings.labelSize))) return
        context.textAlign = at.align
        context.lineJoin = 'round'
        context.lineWidth = 3
        context.strokeStyle = this.theme.halo
        context.strokeText(label, at.x, at.y)
        context.fillStyle = this.theme.text
        context.fillText(label, at.x, at.y)
        context.textAlign = 'start'
      },
      defaultDrawNodeHover: (context, data, settings) => {
        const { theme } = this
        context.beginPath()
        context.arc(data.x, data.y, data.size + 3, 0, 2 * Math.PI)
        context.strokeStyle = theme.text
        context.lineWidth = 1.5
        context.stroke()
        const label = this.nameOf((data as { key?: string }).key)
        if (!label) return
        context.font = `600 ${settings.labelSize}px ${settings.labelFont}`
        const at = labelPlace(data, settings.labelSize)
        const width = context.measureText(label).width
        const box = labelBox(at, width, settings.labelSize)
        context.beginPath()
        context.roundRect(box.left - 4, box.top - 1, width + 12, settings.labelSize + 10, 5)
        context.fillStyle = theme.surface
        context.fill()
        context.strokeStyle = theme.edge
        context.lineWidth = 1
        context.stroke()
        context.fillStyle = theme.text
        context.fillText(label, box.left + 2, at.y)
      },
    }
  }

  /** The node's name, also a hub's, which has no label of its own. */
  private nameOf(id: string | undefined): string {
    if (id === undefined) return ''
    const label: unknown = this.graph.getNodeAttribute(id, 'label')
    return typeof label === 'string' ? label : (this.map.subnets.find((s) => s.id === id)?.label ?? '')
  }
}

/** What a label covers, and a little around it. */
function labelBox(at: { x: number; y: number; align: string }, width: number, font: number): Box {
  const left = at.align === 'center' ? at.x - width / 2 : at.align === 'right' ? at.x - width : at.x
  return { left: left - 2, right: left + width + 2, top: at.y - font - 2, bottom: at.y + 4 }
}

/** Where a node's label begins, or has its middle or end. */
function labelPlace(
  node: { x: number; y: number; size: number; side?: unknown },
  font: number,
): { x: number; y: number; align: 'left' | 'center' | 'right' } {
  switch (node.side as Side | undefined) {
    case 'left':
      return { x: node.x - node.size - 5, y: node.y + font / 3, align: 'right' }
    case 'right':
      return { x: node.x + node.size + 5, y: node.y + font / 3, align: 'left' }
    case 'above':
      return { x: node.x, y: node.y - node.size - 5, align: 'center' }
    default:
      return { x: node.x, y: node.y + node.size + font + 2, align: 'center' }
  }
}

/** IPv4 before IPv6. */
function byFamily(a: string, b: string): number {
  return Number(a.includes(':')) - Number(b.includes(':'))
}

function area(box: Frame): number {
  return (box.x[1] - box.x[0]) * (box.y[1] - box.y[0])
}
