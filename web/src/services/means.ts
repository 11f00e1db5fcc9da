/** By what a service is known, and how sure that makes, as people read it. */

const means: Readonly<Record<string, string>> = {
  port: 'The port’s number',
  banner: 'What it says first',
  http_status: 'HTTP status',
  http_title: 'Page title',
  http_header: 'HTTP header',
  http_body: 'Page text',
  favicon: 'Page icon',
  tls: 'TLS certificate',
  ssh: 'SSH greeting',
  mdns: 'mDNS',
  mac_vendor: 'Maker of the interface',
  image: 'Container image',
  label: 'Container label',
}

export const meansWord = (word: string) => means[word] ?? word.replaceAll('_', ' ')

/** A confidence from 0 to 1 in words. */
export function sureWord(confidence: number): string {
  if (confidence >= 0.95) return 'certain'
  if (confidence >= 0.8) return 'very likely'
  return confidence >= 0.5 ? 'likely' : 'a guess'
}
