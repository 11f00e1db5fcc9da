/** Small preferences kept in this browser; where storage is forbidden they last as long as the page. */

export function stored(name: string): string | null {
  try {
    return localStorage.getItem(`mooring.${name}`)
  } catch {
    return null // storage is forbidden here: the default is right
  }
}

export function store(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`mooring.${name}`)
    else localStorage.setItem(`mooring.${name}`, value)
  } catch {
    // Storage is forbidden or full: the choice holds for this page only.
  }
}
