import { expect, test } from 'vitest'
import { rates, type Sample } from './samples'

const at = (seconds: number, bytes: Record<string, number>): Sample => ({
  at: seconds * 1000,
  bytes: new Map(Object.entries(bytes)),
  behind: 0,
})

test('tells bytes a second between samples, and nothing of who is new or began anew', () => {
  expect(rates([at(0, { a: 100, b: 50 }), at(10, { a: 1100, b: 20, c: 9999 }), at(20, { a: 1100, b: 520, c: 9999 })])).toEqual([100, 50])
  expect(rates([at(0, { a: 1 })])).toEqual([])
})
