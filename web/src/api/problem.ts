/** What can go wrong between the page and the server, as errors whose message a person can read. */

/** The server's answer was a refusal (RFC 9457 problem details, or a bare status). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    /** For a request that did not fit: what was wrong where. */
    readonly faults: readonly { where: string; what: string }[] = [],
  ) {
    super(detail || title)
    this.name = 'Problem'
  }
}

/** The server did not answer at all. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super('The server does not answer.', { cause })
    this.name = 'Unreachable'
  }
}

const titles: Readonly<Record<number, string>> = {
  400: 'The request does not fit',
  401: 'Not logged in',
  403: 'Not allowed',
  404: 'Not found',
  409: 'Conflict',
  422: 'The request does not fit',
  429: 'Too many requests',
  500: 'The server failed',
  502: 'The server is not there',
  503: 'The server is busy',
  504: 'The server is not there',
}

/** Reads a problem from an answer's status and body, whatever the body is. */
export function problemFrom(status: number, body: unknown): Problem {
  const said = isRecord(body) ? body : {}
  // Of the type about:blank the title is but HTTP's own phrase for the status.
  const told = said['type'] === 'about:blank' && titles[status] ? '' : text(said['title'])
  const title = told || titles[status] || `The server answered ${status}`
  const faults = Array.isArray(said['errors'])
    ? said['errors'].filter(isRecord).map((e) => ({ where: where(e['where']), what: text(e['what']) }))
    : []
  return new Problem(status, title, text(said['detail']), faults)
}

function where(value: unknown): string {
  return Array.isArray(value) ? value.join('.') : text(value)
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 2000) : ''
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
