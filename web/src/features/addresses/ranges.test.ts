import { expect, test } from 'vitest'
import { addressOf, fieldsOf, numberOf, rangeOf } from './ranges'

test('reads addresses and writes them back', () => {
  expect(addressOf(numberOf('255.20.0.7'))).toBe('255.20.0.7')
  expect([numberOf('fd00::1'), numberOf('1.2.3'), numberOf('1.2.3.256')]).toEqual([NaN, NaN, NaN])
  expect(rangeOf('10.20.0.0/22')).toEqual({ first: numberOf('10.20.0.0'), size: 1024 })
})

test('a small range has a field for each address and a large one fields of many', () => {
  const small = fieldsOf(rangeOf('10.0.0.0/30'), ['10.0.0.1', 'fd00::1'], ['10.0.0.2'])
  expect(small.map(({ used, reserved }) => [used, reserved])).toEqual([[0, 0], [1, 0], [0, 1], [0, 0]])
  const large = fieldsOf(rangeOf('10.0.0.0/16'), ['10.0.1.0', '10.0.1.255', '10.1.0.0'], [])
  expect(large).toHaveLength(256)
  expect(large[1]).toEqual({ first: '10.0.1.0', last: '10.0.1.255', size: 256, used: 2, reserved: 0 })
  expect(large.reduce((sum, each) => sum + each.used, 0)).toBe(2)
})
