/** Brings what went wrong into sight, in a dialog that is higher than the screen. */
export function intoView(node: Element): void {
  if (node.closest('dialog')) node.scrollIntoView({ block: 'nearest' })
}
