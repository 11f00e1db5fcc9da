/** What kinds of services and hosts there are: a category of the catalogue in, its look out. */

import type { IconName } from '../ui/icons'

interface Look {
  title: string
  icon: IconName
  /** The token of its colour. */
  tint: string
}

const looks: Readonly<Record<string, Look>> = {
  access: { title: 'Access', icon: 'terminal', tint: 'plain' },
  ai: { title: 'AI', icon: 'spark', tint: 'watch' },
  automation: { title: 'Automation', icon: 'home', tint: 'home' },
  backup: { title: 'Backup', icon: 'storage', tint: 'data' },
  camera: { title: 'Camera', icon: 'camera', tint: 'media' },
  chat: { title: 'Chat', icon: 'mail', tint: 'talk' },
  container: { title: 'Containers', icon: 'container', tint: 'box' },
  dashboard: { title: 'Dashboard', icon: 'chart', tint: 'web' },
  database: { title: 'Database', icon: 'database', tint: 'data' },
  development: { title: 'Development', icon: 'code', tint: 'code' },
  directory: { title: 'Directory', icon: 'shield', tint: 'safe' },
  documents: { title: 'Documents', icon: 'page', tint: 'code' },
  download: { title: 'Download', icon: 'download', tint: 'net' },
  files: { title: 'Files', icon: 'storage', tint: 'data' },
  game: { title: 'Game', icon: 'media', tint: 'media' },
  industrial: { title: 'Industrial', icon: 'gear', tint: 'home' },
  iot: { title: 'Things', icon: 'home', tint: 'home' },
  mail: { title: 'Mail', icon: 'mail', tint: 'talk' },
  media: { title: 'Media', icon: 'media', tint: 'media' },
  messaging: { title: 'Messaging', icon: 'mail', tint: 'talk' },
  monitoring: { title: 'Monitoring', icon: 'chart', tint: 'watch' },
  network: { title: 'Network', icon: 'router', tint: 'net' },
  printing: { title: 'Printing', icon: 'printer', tint: 'home' },
  proxy: { title: 'Proxy', icon: 'web', tint: 'web' },
  search: { title: 'Search', icon: 'search', tint: 'data' },
  security: { title: 'Security', icon: 'shield', tint: 'safe' },
  storage: { title: 'Storage', icon: 'storage', tint: 'data' },
  system: { title: 'System', icon: 'host', tint: 'plain' },
  virtualization: { title: 'Virtualisation', icon: 'container', tint: 'box' },
  voice: { title: 'Voice', icon: 'voice', tint: 'talk' },
  web: { title: 'Web', icon: 'web', tint: 'web' },
}

/** The look of a category; of one that is not known here, or of none, a plain one. */
export function categoryLook(category: string): Look {
  return looks[category] ?? { title: plain(category), icon: 'service', tint: 'plain' }
}

/** The look of a host, whose category is its kind. */
export function hostLook(kind: string): Look {
  return kind ? categoryLook(kind) : { title: 'Host', icon: 'host', tint: 'plain' }
}

function plain(word: string): string {
  const spaced = word.replaceAll(/[-_]/g, ' ')
  return spaced ? spaced.charAt(0).toUpperCase() + spaced.slice(1) : 'Unknown'
}
