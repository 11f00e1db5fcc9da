/** A container's ports as people write them. */

import type { Shapes } from '../api/client'

export interface PortText {
  text: string
  published: boolean
}

const everywhere = new Set(['0.0.0.0', '::'])

/** `8080 → 80/tcp`, `127.0.0.1:8080 → 80/tcp`, `53/udp`; the same on IPv4 and IPv6 is said once. */
export function ports(all: readonly Shapes['PublishedPort'][]): PortText[] {
  const texts = new Map<string, PortText>()
  for (const port of all) {
    const inner = `${port.container_port}/${port.protocol}`
    const published = port.host_port !== null
    const text = published ? `${at(port.host_ip)}${port.host_port} → ${inner}` : inner
    texts.set(text, { text, published })
  }
  return [...texts.values()]
}

function at(ip: string | null): string {
  if (ip === null || everywhere.has(ip)) return ''
  return ip.includes(':') ? `[${ip}]:` : `${ip}:`
}
