/** Draws the hulls of the islands, and the names of the subnets that are at home in them, on canvases. */

import { Taken } from './boxes'
import type { Hull } from './layout'
import type { Point } from './pack'

export interface HullLook {
  hull: Hull
  color: string
  /** A line for each subnet. */
  names: string[]
}

/** A hull in pixels. */
interface Seen {
  at: Point
  radius: number
  look: HullLook
}

interface Size {
  width: number
  height: number
}

const LINE = 15
/** A hull smaller than this (pixels of radius) is too small to have a name. */
const LEAST_NAMED = 12
const MOST_LINES = 3

/** The hulls that are in sight, in pixels. */
export function inSight(looks: HullLook[], size: Size, toScreen: (point: Point) => Point): Seen[] {
  const seen: Seen[] = []
  for (const look of looks) {
    const at = toScreen(look.hull)
    const edge = toScreen({ x: look.hull.x + look.hull.r, y: look.hull.y })
    const radius = Math.hypot(edge.x - at.x, edge.y - at.y)
    const out = at.x + radius < 0 || at.y + radius < 0 || at.x - radius > size.width || at.y - radius > size.height
    if (!out) seen.push({ at, radius, look })
  }
  return seen
}

export function drawHulls(context: CanvasRenderingContext2D, size: Size, hulls: Seen[]): void {
  context.clearRect(0, 0, size.width, size.height)
  context.lineWidth = 1
  for (const { at, radius, look } of hulls) {
    context.beginPath()
    context.arc(at.x, at.y, radius, 0, 2 * Math.PI)
    context.globalAlpha = 0.08
    context.fillStyle = look.color
    context.fill()
    context.globalAlpha = 0.4
    context.strokeStyle = look.color
    context.stroke()
  }
  context.globalAlpha = 1
}

/** Names stand above their hulls; of two in one place the first is kept. Clears nothing. */
export function drawNames(
  context: CanvasRenderingContext2D,
  hulls: Seen[],
  style: { font: string; text: string; ground: string },
): void {
  context.font = style.font
  context.textAlign = 'center'
  context.textBaseline = 'bottom'
  context.lineJoin = 'round'
  context.lineWidth = 4
  context.strokeStyle = style.ground
  context.fillStyle = style.text
  const taken = new Taken()
  for (const { at, radius, look } of hulls) {
    if (radius < LEAST_NAMED) continue
    const lines = look.names.slice(0, MOST_LINES)
    if (look.names.length > MOST_LINES) lines.push(`+ ${look.names.length - MOST_LINES} more`)
    const half = Math.max(...lines.map((line) => context.measureText(line).width)) / 2
    const bottom = at.y - radius - 3
    const box = { left: at.x - half, right: at.x + half, top: bottom - lines.length * LINE, bottom }
    if (!taken.take(box)) continue
    lines.forEach((line, i) => {
      const y = bottom - (lines.length - 1 - i) * LINE
      context.strokeText(line, at.x, y)
      context.fillText(line, at.x, y)
    })
  }
  context.textAlign = 'start'
  context.textBaseline = 'alphabetic'
}
