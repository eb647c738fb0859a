import { expect, test } from 'vitest'
import { age, bytes, count, duration, milliseconds } from './time'

test('says how long ago something was in the largest unit that fits', () => {
  const now = Date.parse('2030-01-02T00:00:00Z')
  expect(age('2030-01-01T23:59:18Z', now)).toBe('42 seconds ago')
  expect(age('2030-01-01T22:30:00Z', now)).toBe('1 hour ago')
  expect(age('2030-01-05T00:00:00Z', now)).toBe('in 3 days')
  expect(age('2030-01-02T00:00:00Z', now)).toBe('now')
})

test('gives bytes, durations and round trips their unit', () => {
  expect([0, 1023, 1024, 5 * 1024 ** 3].map(bytes)).toEqual(['0 B', '1023 B', '1.0 KiB', '5.0 GiB'])
  expect([0, 90, 3600, 2_592_000].map(duration)).toEqual(['0 s', '90 s', '1 h', '30 d'])
  expect([1234, 2 ** 64 - 3].map(count)).toEqual(['1,234', '2^64'])
  expect([640, 250_000].map(milliseconds)).toEqual(['0.6 ms', '250 ms'])
})
