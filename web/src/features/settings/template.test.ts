import { expect, test } from 'vitest'
import { bodyOf, draftOf } from './template'

test('what a template leaves to the default stays so', () => {
  const made = { id: 't', name: 'small', settings: { mtu: 1380 }, version: 1, created_at: '' }
  expect(bodyOf(draftOf(made))).toMatchObject({ name: 'small', mtu: 1380, keepalive: null, dns_upstreams: null })
})
