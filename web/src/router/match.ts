/** Which page a path names: patterns and a path in, a page and its parameters out. */

export interface Match<Page> {
  page: Page
  params: Readonly<Record<string, string>>
}

/** The first pattern that fits; `:name` stands for one segment. A slash at the end is no matter. */
export function match<Page>(
  patterns: readonly (readonly [pattern: string, page: Page])[],
  path: string,
): Match<Page> | null {
  const have = segments(path)
  for (const [pattern, page] of patterns) {
    const want = segments(pattern)
    if (want.length !== have.length) continue
    const params: Record<string, string> = {}
    const fits = want.every((segment, i) => {
      const given = have[i] ?? ''
      if (!segment.startsWith(':')) return segment === given
      try {
        params[segment.slice(1)] = decodeURIComponent(given)
      } catch {
        return false // a stray percent sign names no page
      }
      return true
    })
    if (fits) return { page, params }
  }
  return null
}

function segments(path: string): string[] {
  return path.split('/').filter(Boolean)
}
