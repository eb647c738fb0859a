import { expect, test } from 'vitest'
import { cookie } from './client'
import { waitBefore } from './live'
import { Problem } from './problem'

test('waits longer after each failed attempt and never longer than a quarter of a minute', () => {
  expect([0, 1, 2, 3].map((attempt) => waitBefore(attempt, 1))).toEqual([500, 1000, 2000, 4000])
  expect(waitBefore(30, 1)).toBe(15_000)
})

test('finds a cookie among others and nothing in the name of another', () => {
  expect(cookie('b', 'ab=1; b=2=3; c=4')).toBe('2=3')
  expect(cookie('x', 'ab=1; b=2')).toBe('')
})

test('a problem names the field that is wrong, with what to do', () => {
  const problem = Problem.of(422, { errors: [{ pointer: '/name', detail: 'is taken', hint: 'choose another' }] })
  expect(problem.at('/name')).toBe('is taken: choose another')
  expect(problem.at('/other')).toBeUndefined()
})
