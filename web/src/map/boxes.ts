/** Keeps texts apart: remembers what has been written where. */

export interface Box {
  left: number
  top: number
  right: number
  bottom: number
}

/** The boxes that are taken in one picture. */
export class Taken {
  private boxes: Box[] = []

  clear(): void {
    this.boxes = []
  }

  /** Takes the box if it overlaps with none before it; whether it did. */
  take(box: Box): boolean {
    if (this.boxes.some((other) => overlap(box, other))) return false
    this.boxes.push(box)
    return true
  }
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}
