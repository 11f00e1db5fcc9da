/** Where one can go in the page: the places of the menu, in groups. */

import type { Role } from '../state/session.svelte'
import type { IconName } from '../ui/icons'

export interface Place {
  href: string
  title: string
  icon: IconName
  /** Who may go there; everybody where it is not said. */
  least?: Role
  /** Whether it stands at the bottom of a phone's screen; the others are one touch away. */
  near?: boolean
}

export interface Group {
  title: string
  places: readonly Place[]
}

export const groups: readonly Group[] = [
  {
    title: 'Site',
    places: [
      { href: '/', title: 'Map', icon: 'map', near: true },
      { href: '/hosts', title: 'Hosts', icon: 'host', near: true },
      { href: '/services', title: 'Services', icon: 'service', near: true },
      { href: '/containers', title: 'Containers', icon: 'container' },
      { href: '/subnets', title: 'Subnets', icon: 'subnet' },
    ],
  },
  {
    title: 'Discovery',
    places: [
      { href: '/runs', title: 'Runs', icon: 'run', near: true },
      { href: '/schedules', title: 'Schedules', icon: 'schedule' },
      { href: '/agents', title: 'Agents', icon: 'agent' },
      { href: '/timeline', title: 'Timeline', icon: 'timeline' },
    ],
  },
  {
    title: 'Links',
    places: [
      { href: '/forwards', title: 'Forwards', icon: 'forward' },
      { href: '/can', title: 'CAN', icon: 'can' },
    ],
  },
  {
    title: 'Access',
    places: [
      { href: '/networks', title: 'Networks', icon: 'network', least: 'admin' },
      { href: '/users', title: 'Users', icon: 'users', least: 'admin' },
      { href: '/keys', title: 'Keys', icon: 'key' },
      { href: '/audit', title: 'Audit', icon: 'audit', least: 'admin' },
    ],
  },
]
