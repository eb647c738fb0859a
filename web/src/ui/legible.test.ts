import { expect, test } from 'vitest'
import { legible } from './legible'

test('a mark that would turn the text around is shown and turns nothing', () => {
  expect(legible('invoice\u202egnp.exe')).toBe('invoice[U+202E]gnp.exe')
  expect(legible('a\u200bb\nc')).toBe('a[U+200B]b[U+000A]c')
})

test('letters of all scripts stay as they are', () => {
  expect(legible('Grüße, שלום, 你好, 👍')).toBe('Grüße, שלום, 你好, 👍')
})
