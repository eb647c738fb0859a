import { expect, test } from 'vitest'
import type { PeerView } from '../../api/schema.gen'
import { stateOf } from './state'

const peer = (given: object) =>
  ({ blocked: false, status: { state: 'online', applied_error: null }, enrollment: { state: 'enrolled' }, ...given }) as PeerView

test('says what is broken before what is missing before what is fine', () => {
  expect(stateOf(peer({}))).toBe('online')
  expect(stateOf(peer({ enrollment: { state: 'pending' } }))).toBe('pending')
  expect(stateOf(peer({ status: { state: 'online', applied_error: 'no room' }, enrollment: { state: 'expired' } }))).toBe('failed')
  expect(stateOf(peer({ blocked: true, status: { state: 'online', applied_error: 'no room' } }))).toBe('blocked')
})
