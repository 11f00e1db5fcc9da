/** What kinds of services and hosts there are: a category of the catalogue in, its look out. */

import type { IconName } from '../ui/icons'

interface Look {
  title: string
  icon: IconName
  /** The token of its colour. */
  tint: string
}

const looks: Readonly<Record<string, Look>> = {
  web: { title: 'Web', icon: 'web', tint: 'web' },
  proxy: { title: 'Proxy', icon: 'web', tint: 'web' },
  database: { title: 'Database', icon: 'database', tint: 'data' },
  cache: { title: 'Cache', icon: 'database', tint: 'data' },
  storage: { title: 'Storage', icon: 'storage', tint: 'data' },
  backup: { title: 'Backup', icon: 'storage', tint: 'data' },
  media: { title: 'Media', icon: 'media', tint: 'media' },
  game: { title: 'Game', icon: 'media', tint: 'media' },
  camera: { title: 'Camera', icon: 'camera', tint: 'media' },
  monitoring: { title: 'Monitoring', icon: 'chart', tint: 'watch' },
  logging: { title: 'Logging', icon: 'chart', tint: 'watch' },
  home: { title: 'Home automation', icon: 'home', tint: 'home' },
  iot: { title: 'Internet of things', icon: 'home', tint: 'home' },
  industrial: { title: 'Industrial', icon: 'home', tint: 'home' },
  messaging: { title: 'Messaging', icon: 'mail', tint: 'talk' },
  mail: { title: 'Mail', icon: 'mail', tint: 'talk' },
  chat: { title: 'Chat', icon: 'mail', tint: 'talk' },
  voice: { title: 'Voice', icon: 'mail', tint: 'talk' },
  network: { title: 'Network', icon: 'subnet', tint: 'net' },
  dns: { title: 'DNS', icon: 'subnet', tint: 'net' },
  router: { title: 'Router', icon: 'router', tint: 'net' },
  switch: { title: 'Switch', icon: 'router', tint: 'net' },
  vpn: { title: 'VPN', icon: 'shield', tint: 'net' },
  access: { title: 'Access', icon: 'terminal', tint: 'plain' },
  remote: { title: 'Remote access', icon: 'terminal', tint: 'plain' },
  printer: { title: 'Printer', icon: 'printer', tint: 'home' },
  printing: { title: 'Printing', icon: 'printer', tint: 'home' },
  development: { title: 'Development', icon: 'code', tint: 'code' },
  security: { title: 'Security', icon: 'shield', tint: 'safe' },
  identity: { title: 'Identity', icon: 'shield', tint: 'safe' },
  directory: { title: 'Directory', icon: 'shield', tint: 'safe' },
  container: { title: 'Containers', icon: 'container', tint: 'box' },
  virtualization: { title: 'Virtualisation', icon: 'container', tint: 'box' },
  orchestration: { title: 'Orchestration', icon: 'container', tint: 'box' },
  productivity: { title: 'Productivity', icon: 'page', tint: 'code' },
  documents: { title: 'Documents', icon: 'page', tint: 'code' },
  computer: { title: 'Computer', icon: 'host', tint: 'plain' },
}

export function categoryLook(category: string): Look {
  return looks[category] ?? { title: plain(category), icon: 'service', tint: 'plain' }
}

function plain(word: string): string {
  const spaced = word.replaceAll(/[-_]/g, ' ')
  return spaced ? spaced.charAt(0).toUpperCase() + spaced.slice(1) : 'Other'
}
