/**
 * Something that a person asked for: whether it is under way, and how it failed. It shows nothing
 * and knows nothing of what is done.
 */

export class Attempt {
  busy = $state(false)
  failure = $state.raw<unknown>(null)

  /** Do it; whether it was done. What it fails with is kept here, not thrown. */
  async at(action: () => Promise<unknown>): Promise<boolean> {
    this.busy = true
    this.failure = null
    try {
      await action()
      return true
    } catch (error) {
      this.failure = error
      return false
    } finally {
      this.busy = false
    }
  }

  /** Begin anew: an old failure is not shown again. */
  forget(): void {
    this.failure = null
  }
}
