import { expect, test } from 'vitest'
import type { GrantView, PeerView } from '../../api/schema.gen'
import { byState, endingSoon, isDone, stepsOf } from './counts'

const peer = (name: string, kind: PeerView['kind'], enrollment: PeerView['enrollment']['state'], state = 'online') =>
  ({ name, kind, blocked: false, enrollment: { state: enrollment }, status: { state, applied_error: null } }) as PeerView

test('counts peers by the word that stands in their table', () => {
  const peers = [peer('a', 'jump', 'enrolled'), peer('b', 'dynamic', 'pending'), peer('c', 'dynamic', 'enrolled', 'stale'), peer('d', 'jump', 'enrolled')]
  expect(byState(peers)).toEqual([['online', 2], ['stale', 1], ['pending', 1]])
})

test('a step is done when its host is here, and a device without an agent at once', () => {
  const steps = stepsOf([peer('a', 'jump', 'pending'), peer('b', 'jump', 'enrolled'), peer('c', 'static', 'not_needed'), peer('d', 'dynamic', 'pending')])
  expect([steps.jump?.name, steps.host?.name, steps.phone?.name]).toEqual(['b', 'd', 'c'])
  expect([isDone(steps.jump), isDone(steps.host), isDone(steps.phone), isDone(undefined)]).toEqual([true, false, true, false])
})

test('names live grants that end within a week, the soonest first', () => {
  const grant = (id: string, state: GrantView['state'], ends: string) => ({ id, state, expires_at: ends }) as GrantView
  const found = endingSoon(
    [grant('a', 'live', '2030-01-07T00:00:00Z'), grant('b', 'live', '2030-01-02T00:00:00Z'), grant('c', 'live', '2030-02-01T00:00:00Z'), grant('d', 'revoked', '2030-01-02T00:00:00Z')],
    Date.parse('2030-01-01T00:00:00Z'),
  )
  expect(found.map((each) => each.id)).toEqual(['b', 'a'])
})
