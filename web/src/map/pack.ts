/** Packs circles without overlap: an index of those that are placed, and a walk to the next free place. */

export interface Point {
  x: number
  y: number
}

export interface Circle extends Point {
  r: number
}

/** Circles on a grid of square cells, so that asking for a free place looks at its surroundings only. */
export class CircleIndex {
  private readonly cells = new Map<number, Circle[]>()

  /** `cell`: the side of a cell; about the size of a usual circle. */
  constructor(private readonly cell: number) {}

  add(circle: Circle): void {
    this.over(circle, 0, (key) => {
      const list = this.cells.get(key)
      if (list) list.push(circle)
      else this.cells.set(key, [circle])
      return true
    })
  }

  /** Whether no circle comes nearer to this one than `gap`. */
  isFree(circle: Circle, gap: number): boolean {
    return this.over(circle, gap, (key) => {
      const list = this.cells.get(key)
      if (!list) return true
      return list.every((other) => {
        const apart = circle.r + other.r + gap
        const dx = circle.x - other.x
        const dy = circle.y - other.y
        return dx * dx + dy * dy >= apart * apart
      })
    })
  }

  /** Calls for each cell that the circle touches until one answers false. */
  private over(circle: Circle, gap: number, call: (key: number) => boolean): boolean {
    const reach = circle.r + gap
    const right = Math.floor((circle.x + reach) / this.cell)
    const bottom = Math.floor((circle.y + reach) / this.cell)
    for (let i = Math.floor((circle.x - reach) / this.cell); i <= right; i++) {
      for (let j = Math.floor((circle.y - reach) / this.cell); j <= bottom; j++) {
        if (!call(i * 0x100000 + j)) return false
      }
    }
    return true
  }
}

/**
 * Walks outward from `from` on a spiral, for circles that come largest first. The walk goes on
 * where the last circle was put, and starts anew only when circles have become so much smaller
 * that gaps which were too narrow may do.
 */
export class SpiralWalk {
  private reached = 0
  private begunWith = Infinity

  /** After `patience` steps a place is taken although it overlaps: a crowded picture is better than none. */
  constructor(
    private readonly index: CircleIndex,
    private readonly from: Point,
    private readonly patience = 20_000,
  ) {}

  /** The first free place for a circle of radius `r`, `gap` away from all others. */
  next(r: number, gap: number): Circle {
    if (r < this.begunWith * 0.7) {
      this.reached = 0
      this.begunWith = r
    }
    const pace = Math.max(0.5, (r + gap) * 0.5)
    // Turns are `pace` apart and steps along them as long: an angle of sqrt(4 pi n) after n steps.
    const first = Math.floor(((this.reached / pace) * 2 * Math.PI) ** 2 / (4 * Math.PI))
    for (let step = first; ; step++) {
      const angle = Math.sqrt(4 * Math.PI * step)
      const distance = (pace * angle) / (2 * Math.PI)
      const at = { x: this.from.x + distance * Math.cos(angle), y: this.from.y + distance * Math.sin(angle), r }
      if (step - first < this.patience && !this.index.isFree(at, gap)) continue
      this.reached = distance
      return at
    }
  }
}
