import { expect, test } from 'vitest'
import { bodyOf, DEFAULTS, patchOf } from './settings'

test('a new network is asked for with what was set and nothing else', () => {
  const made = { ...DEFAULTS, name: 'office', mtu: 1380, template: 'small' }
  expect(bodyOf(made)).toEqual({ name: 'office', mtu: 1380, template: 'small' })
})

test('a change says only what has changed, and takes a range away with null', () => {
  const before = { ...DEFAULTS, name: 'office', cidr_v4: '10.20.0.0/24', primary_id: 'a' }
  expect(patchOf(before, before)).toEqual({})
  expect(patchOf({ ...before, cidr_v4: '', primary_id: '', force: true }, before)).toEqual({
    cidr_v4: null,
    primary_id: null,
    force: true,
  })
})
