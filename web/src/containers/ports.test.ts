import { expect, test } from 'vitest'
import { ports } from './ports'

const port = (host_ip: string | null, host_port: number | null, protocol = 'tcp') => ({
  protocol,
  container_port: 80,
  host_ip,
  host_port,
})
const texts = (...all: ReturnType<typeof port>[]) => ports(all).map((p) => p.text)

test('a port published on every address of both families is said once', () => {
  expect(texts(port('0.0.0.0', 8080), port('::', 8080))).toEqual(['8080 → 80/tcp'])
})

test('a port published on one address says which', () => {
  expect(texts(port('127.0.0.1', 8080), port('::1', 8080))).toEqual(['127.0.0.1:8080 → 80/tcp', '[::1]:8080 → 80/tcp'])
})

test('a port that is only exposed has no arrow', () => {
  expect(ports([port(null, null, 'udp')])).toEqual([{ text: '80/udp', published: false }])
})
