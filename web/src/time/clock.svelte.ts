/** The present, for texts that grow older: ticks only while something on screen reads it. */

import { createSubscriber } from 'svelte/reactivity'

class Clock {
  private readonly subscribe: () => void

  constructor(every: number) {
    this.subscribe = createSubscriber((update) => {
      const timer = setInterval(update, every)
      return () => clearInterval(timer)
    })
  }

  /** Milliseconds since the epoch. */
  get now(): number {
    this.subscribe()
    return Date.now()
  }
}

/** For ages: every 10 seconds. */
export const clock = new Clock(10_000)
/** For what is running: every second. */
export const fastClock = new Clock(1000)
