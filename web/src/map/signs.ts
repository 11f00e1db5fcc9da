/** Draws the page's icons on the map's canvas. */

import { icons, type IconName } from '../ui/icons'

/** The field on which the icons are drawn. */
const FIELD = 20
const paths = new Map<IconName, Path2D>()

/** An icon in the context's stroke, centred at a place, in a circle of `radius` pixels. */
export function drawSign(context: CanvasRenderingContext2D, sign: IconName, at: { x: number; y: number }, radius: number): void {
  let path = paths.get(sign)
  if (!path) paths.set(sign, (path = new Path2D(icons[sign])))
  const scale = (2 * radius) / FIELD
  context.save()
  context.translate(at.x - radius, at.y - radius)
  context.scale(scale, scale)
  context.stroke(path)
  context.restore()
}
