import { expect, test } from 'vitest'
import { bodyOf, draftOf, emptyAxes, FRESH, patchOf } from './form'
import type { GrantView } from '../../api/schema.gen'

const NOW = Date.parse('2030-01-01T00:00:00Z')

test('an open axis is sent as null and a listed one as its entries', () => {
  const body = bodyOf({ ...FRESH, networks: { mode: 'any', entries: [] }, sources: { mode: 'list', entries: ['10.0.0.0/8'] } }, NOW)
  expect([body.networks, body.sources, body.expires_at]).toEqual([null, ['10.0.0.0/8'], '2030-01-31T00:00:00.000Z'])
})

test('a change sends what differs, and an emptied list stays a list', () => {
  const before = draftOf({ ...FRESH, networks: { mode: 'list', entries: ['n1'] }, resource_id: 'w' } as unknown as GrantView)
  expect(patchOf(before, before, NOW)).toEqual({})
  expect(patchOf({ ...before, networks: { mode: 'list', entries: [] } }, before, NOW)).toEqual({ networks: [] })
  expect(emptyAxes({ ...FRESH, sources: { mode: 'any', entries: [] } })).toEqual(['instances', 'networks'])
})
