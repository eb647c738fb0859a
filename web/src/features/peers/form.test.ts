import { expect, test } from 'vitest'
import { bodyOf, fresh, labelsOf, patchOf } from './form'

test('only static peers are asked for with a key of their own', () => {
  const made = { ...fresh('dynamic'), name: 'laptop', public_key: 'k', keep_private_key: true, hours: 2 }
  expect(bodyOf(made)).toMatchObject({ public_key: null, keep_private_key: false, token_lifetime: 7200, endpoint: null })
  expect(bodyOf({ ...made, kind: 'static' })).toMatchObject({ public_key: 'k', keep_private_key: true })
})

test('a change says only what has changed', () => {
  const before = { ...fresh('static'), name: 'phone', owner: 'ann' }
  expect(patchOf(before, before)).toEqual({})
  expect(patchOf({ ...before, owner: '', public_key: 'k' }, before)).toEqual({ owner: null, public_key: 'k' })
})

test('a label ends its key at the first equals sign', () => {
  expect(labelsOf(['site=a=b', 'bare'])).toEqual({ site: 'a=b', bare: '' })
})
