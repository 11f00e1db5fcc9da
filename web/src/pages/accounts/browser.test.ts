import { expect, test } from 'vitest'
import { browserName } from './browser'

test('a browser is told by its name and system', () => {
  expect(browserName('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0')).toBe('Firefox on Linux')
  expect(browserName('Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0')).toBe('Edge on Windows')
  expect(browserName('Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1')).toBe('Safari on iOS')
})

test('what is no browser goes by its own name', () => {
  expect(browserName('curl/8.5.0')).toBe('curl')
  expect(browserName('')).toBe('Unknown')
})
