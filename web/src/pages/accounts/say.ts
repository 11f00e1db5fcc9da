/** Accounts and keys in words: roles, states, times to come. */

import type { Shapes } from '../../api/client'
import { ranks, type Role } from '../../state/session.svelte'
import type { Tone } from '../../words'

const meanings: Readonly<Record<Role, string>> = {
  viewer: 'sees everything of the site, changes nothing',
  member: 'also starts runs, names and forgets hosts',
  admin: 'also arranges agents, networks, keys and users',
  owner: 'may do everything; a server has at least one',
}

/** `a viewer`, `an admin`. */
export const withArticle = (role: Role) => `${/^[aeiou]/.test(role) ? 'an' : 'a'} ${role}`

export const roleMeaning = (role: Role) => meanings[role]

/** The roles that somebody with this one can give: those up to the own. */
export const rolesUpTo = (role: Role): readonly Role[] => ranks.slice(0, ranks.indexOf(role) + 1)

const tones: Readonly<Record<string, Tone>> = {
  active: 'good',
  invited: 'busy',
  disabled: 'idle',
  valid: 'good',
  expired: 'warn',
  revoked: 'idle',
}

export const accountTone = (state: string): Tone => tones[state] ?? 'idle'

/** What can be chosen for the end of a key: in days; 0 is never. */
export const lives: readonly { days: number; title: string }[] = [
  { days: 0, title: 'Never: until it is revoked' },
  { days: 7, title: 'In a week' },
  { days: 30, title: 'In 30 days' },
  { days: 90, title: 'In 90 days' },
  { days: 365, title: 'In a year' },
]

/** Days from now as the server takes them; null for never. */
export const inDays = (days: number, now = Date.now()) => (days ? new Date(now + days * 86_400_000).toISOString() : null)

/** What can be chosen for the time that a rotated key's old secret opens: in hours. */
export const graces: readonly { hours: number; title: string }[] = [
  { hours: 0, title: 'At once' },
  { hours: 1, title: 'In an hour' },
  { hours: 24, title: 'In a day' },
  { hours: 168, title: 'In a week' },
]

/** What a key is called where it is shown: all of it that is no secret. */
export const keyPrefix = (key: { prefix: string }) => `mooring_${key.prefix}_…`

/** What is typed on a machine to begin its agent. */
export const agentCommand = (key: string, server: string) => `MOORING_KEY=${key} mooring agent --server ${server}`

/** Why an agent's network cannot be chosen; nothing when it can. */
export const boundTo = (network: string) =>
  `This agent’s key is for the network ${network}. A key opens one network: to move the agent, revoke its keys first.`

/** `Key rotated`, `Network created`: what somebody did, of an entry of the audit. */
export function deedWords(entry: Pick<Shapes['AuditEntry'], 'entity' | 'action'>, entityWord: (entity: string) => string): string {
  if (entry.entity === 'session') return entry.action.charAt(0).toUpperCase() + entry.action.slice(1)
  return `${entityWord(entry.entity)} ${entry.action}`
}
