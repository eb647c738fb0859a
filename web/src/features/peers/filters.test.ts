import { expect, test } from 'vitest'
import { filtersIn } from './filters'

test('reads the filters of an address and leaves out what is none', () => {
  expect(filtersIn({ search: 42, kind: 'jump', enrolled: false, blocked: 'yes', other: 1, group: '' })).toEqual({
    search: '42',
    kind: 'jump',
    enrolled: false,
  })
  expect(filtersIn({ kind: 'other' })).toEqual({})
})
