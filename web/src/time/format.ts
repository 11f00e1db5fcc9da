/** Times as people read them: an instant or a number of seconds in, words out. */

const absoluteFormat = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })
const relativeFormat = new Intl.RelativeTimeFormat('en-GB', { numeric: 'always', style: 'long' })
const unit = (name: 'second' | 'minute' | 'hour' | 'day', digits = 0) =>
  new Intl.NumberFormat('en', {
    style: 'unit',
    unit: name,
    unitDisplay: 'short',
    maximumFractionDigits: digits,
    minimumFractionDigits: digits,
  })
const seconds = unit('second')
const tenths = unit('second', 1)
const minutes = unit('minute')
const hours = unit('hour')
const days = unit('day')
const milliseconds = new Intl.NumberFormat('en', {
  style: 'unit',
  unit: 'millisecond',
  unitDisplay: 'short',
  maximumFractionDigits: 0,
})

/** `21 Nov 2026, 14:05:09`, in the reader's time zone. */
export function absolute(at: string | number): string {
  return absoluteFormat.format(new Date(at))
}

/** `Sun 22 Nov, 03:00` in a zone of its own; where the zone is not known here, in the reader's. */
export function inZone(at: string | number, timeZone: string): string {
  const how = { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' } as const
  try {
    return new Intl.DateTimeFormat('en-GB', { ...how, timeZone }).format(new Date(at))
  } catch {
    return new Intl.DateTimeFormat('en-GB', how).format(new Date(at))
  }
}

/** `just now`, `40 seconds ago`, `3 hours ago`; a clock that is ahead of ours is `just now`. */
export function relative(at: string | number, now: number): string {
  const age = Math.round((now - new Date(at).getTime()) / 1000)
  if (age < 10) return 'just now'
  if (age < 60) return relativeFormat.format(-Math.floor(age / 10) * 10, 'second')
  if (age < 3600) return relativeFormat.format(-Math.floor(age / 60), 'minute')
  if (age < 86_400) return relativeFormat.format(-Math.floor(age / 3600), 'hour')
  return relativeFormat.format(-Math.floor(age / 86_400), 'day')
}

/** How long something has lasted, as coarse as `relative`: `a moment`, `40 seconds`, `3 days`. */
export function lasted(since: string | number, now: number): string {
  const said = relative(since, now)
  return said === 'just now' ? 'a moment' : said.replace(/ ago$/, '')
}

/** `58 ms`, `1.4 sec`, `42 sec`, `3 min 5 sec`, `2 hr 10 min`, `4 days 3 hr`. */
export function duration(of: number): string {
  const s = Math.max(0, of)
  if (s > 0 && s < 0.9995) return milliseconds.format(s * 1000)
  if (s < 9.95) return tenths.format(s)
  const whole = Math.round(s)
  if (whole < 60) return seconds.format(whole)
  if (whole < 3600) return two(minutes, whole / 60, seconds, whole % 60)
  if (whole < 86_400) return two(hours, whole / 3600, minutes, (whole % 3600) / 60)
  return two(days, whole / 86_400, hours, (whole % 86_400) / 3600)
}

/** As `duration`, of something that goes on: whole seconds. */
export function soFar(of: number): string {
  return of < 60 ? seconds.format(Math.floor(Math.max(0, of))) : duration(Math.floor(of))
}

function two(big: Intl.NumberFormat, n: number, small: Intl.NumberFormat, m: number): string {
  const rest = Math.floor(m)
  return rest ? `${big.format(Math.floor(n))} ${small.format(rest)}` : big.format(Math.floor(n))
}

/** As `duration`, of milliseconds. */
export function elapsedMs(ms: number): string {
  return duration(ms / 1000)
}
