import { expect, test } from 'vitest'
import { everyPage } from './pages'

test('reads page after page until there is none', async () => {
  const pages: Record<string, { items: number[]; next: string | null }> = {
    '': { items: [1, 2], next: 'b' },
    b: { items: [3], next: null },
  }
  const read = (after: string | null) => Promise.resolve(pages[after ?? ''] ?? { items: [] })
  expect(await everyPage(read)).toEqual({ items: [1, 2, 3], isCut: false })
})

test('stops at a bound and says so', async () => {
  const found = await everyPage(() => Promise.resolve({ items: [1], next: 'again' }))
  expect(found.isCut).toBe(true)
  expect(found.items.length).toBeGreaterThan(1)
})
