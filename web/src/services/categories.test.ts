import { expect, test } from 'vitest'
import { categoryLook, hostLook } from './categories'

const files = import.meta.glob<string>('../../../mooring/discovery/catalogue/*.toml', { eager: true, query: '?raw', import: 'default' })
const used = new Set(
  Object.values(files).flatMap((text) => [...text.matchAll(/^category = "(.+)"/gm)].map((found) => found[1] ?? '')),
)

test.each([...used])('the catalogue’s category %s has a look of its own', (category) => {
  expect(categoryLook(category).icon).not.toBe('service')
})

test('a category that a user made up is shown as it is called', () => {
  expect(categoryLook('space-ships')).toMatchObject({ title: 'Space ships', icon: 'service' })
  expect(hostLook('')).toMatchObject({ title: 'Host', icon: 'host' })
})
