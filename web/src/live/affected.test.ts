import { expect, test } from 'vitest'
import { affects, type Changed } from './affected'

const change = (entity: string, over: Partial<Changed> = {}): Changed => ({
  entity,
  operation: 'changed',
  id: 'a',
  network_id: 'home',
  ...over,
})

test('a host concerns the lists of hosts, the map and its own page', () => {
  expect(affects(change('host'), ['hosts', { network_id: 'home' }])).toBe(true)
  expect(affects(change('host'), ['map', { network_id: 'home' }])).toBe(true)
  expect(affects(change('host'), ['host', { id: 'a' }])).toBe(true)
})

test("another host's page is left alone, and so are its parts", () => {
  expect(affects(change('host'), ['host', { id: 'b' }])).toBe(false)
  expect(affects(change('host'), ['routes', { host_id: 'b' }])).toBe(false)
  expect(affects(change('host'), ['routes', { host_id: 'a' }])).toBe(true)
})

test("another network's news is left alone", () => {
  expect(affects(change('host', { network_id: 'office' }), ['map', { network_id: 'home' }])).toBe(false)
  expect(affects(change('host', { network_id: null }), ['map', { network_id: 'home' }])).toBe(true)
})

test('an interface or a container concerns any host, since the event does not say whose it is', () => {
  expect(affects(change('interface'), ['interfaces', { host_id: 'b' }])).toBe(true)
  expect(affects(change('container'), ['host', { id: 'b' }])).toBe(true)
})

test('a run concerns runs and never the hosts', () => {
  expect(affects(change('run'), ['runs', { network_id: 'home' }])).toBe(true)
  expect(affects(change('run'), ['run', { id: 'a' }])).toBe(true)
  expect(affects(change('run'), ['run', { id: 'b' }])).toBe(false)
  expect(affects(change('run'), ['hosts', { network_id: 'home' }])).toBe(false)
  expect(affects(change('run'), ['map', { network_id: 'home' }])).toBe(false)
})

test('a run’s story concerns that run’s page alone, and no list', () => {
  expect(affects(change('run_line'), ['run-lines', { id: 'a', limit: 200 }])).toBe(true)
  expect(affects(change('run_line'), ['run-lines', { id: 'b', limit: 200 }])).toBe(false)
  expect(affects(change('run'), ['run-lines', { id: 'a', limit: 200 }])).toBe(true)
  expect(affects(change('run_line'), ['runs', { network_id: 'home' }])).toBe(false)
})

test('a port concerns what is made of ports, and never the picture without services', () => {
  for (const noun of ['ports', 'services', 'hosts', 'workloads']) {
    expect(affects(change('port'), [noun, { network_id: 'home' }])).toBe(true)
  }
  expect(affects(change('port'), ['map', { network_id: 'home' }])).toBe(false)
})

test('a schedule concerns the schedules, and so does a run that it began', () => {
  expect(affects(change('schedule'), ['schedules', { network_id: 'home' }])).toBe(true)
  expect(affects(change('run'), ['schedules', { network_id: 'home' }])).toBe(true)
  expect(affects(change('schedule'), ['runs', { network_id: 'home' }])).toBe(false)
})

test('a remote host concerns the lists of them and of forwards, and its own page alone', () => {
  expect(affects(change('remote_host'), ['remote-hosts', {}])).toBe(true)
  expect(affects(change('remote_host'), ['remote-host', { id: 'a' }])).toBe(true)
  expect(affects(change('remote_host'), ['remote-host', { id: 'b' }])).toBe(false)
  expect(affects(change('remote_host'), ['link-history', { id: 'b' }])).toBe(false)
  expect(affects(change('remote_host'), ['forwards', { network_id: 'home' }])).toBe(true)
  expect(affects(change('remote_host'), ['forwards', { remote_host_id: 'b' }])).toBe(false)
  expect(affects(change('remote_host'), ['hosts', {}])).toBe(false)
})

test('a forward concerns any remote host, since the event does not say whose it is', () => {
  expect(affects(change('forward'), ['forwards', { remote_host_id: 'b' }])).toBe(true)
  expect(affects(change('forward'), ['remote-host', { id: 'b' }])).toBe(true)
})

test('an agent that falls silent concerns the remote hosts that it reports', () => {
  expect(affects(change('agent'), ['remote-hosts', {}])).toBe(true)
  expect(affects(change('agent'), ['remote-host', { id: 'b' }])).toBe(true)
})

test('a CAN bus concerns the lists, what was mended and its own page, and what the server says of the map is left alone', () => {
  expect(affects(change('can_bus'), ['can-buses', { network_id: 'home' }])).toBe(true)
  expect(affects(change('can_bus'), ['can-recoveries', { can_bus_id: 'a' }])).toBe(true)
  expect(affects(change('can_bus'), ['can-recoveries', { can_bus_id: 'b' }])).toBe(false)
  expect(affects(change('can_bus'), ['can-bus', { id: 'a' }])).toBe(true)
  expect(affects(change('can_bus'), ['can-bus', { id: 'b' }])).toBe(false)
  expect(affects(change('can_driver'), ['can-drivers', {}])).toBe(true)
  expect(affects(change('agent'), ['can-buses', {}])).toBe(true)
  expect(affects(change('can_bus'), ['map', {}])).toBe(false)
})

test('everything concerns the timeline', () => {
  for (const entity of ['host', 'run', 'key', 'something new']) {
    expect(affects(change(entity), ['timeline', { network_id: 'home' }])).toBe(true)
  }
})

test('news of many at once concerns each of them', () => {
  expect(affects(change('host', { id: null }), ['host', { id: 'b' }])).toBe(true)
  expect(affects(change('host', { id: null }), ['routes', { host_id: 'b' }])).toBe(true)
  expect(affects(change('host', { id: null }), ['runs', {}])).toBe(false)
})

test('an entity or a noun that this page does not know concerns nothing', () => {
  expect(affects(change('forward'), ['hosts', {}])).toBe(false)
  expect(affects(change('host'), ['health', {}])).toBe(false)
})
