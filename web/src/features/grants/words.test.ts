import { expect, test } from 'vitest'
import { openAxes, sentence, type Meaning } from './words'

const any = { mode: 'any', entries: [] } as const
const of = (changes: Partial<Meaning>): Meaning => ({
  subject: 'bob@b.example',
  kind: 'service',
  resource_id: 'w1',
  scopes: ['connect', 'read'],
  instances: { ...any, entries: [] },
  networks: { ...any, entries: [] },
  sources: { ...any, entries: [] },
  expires_at: null,
  ...changes,
})

test('says in words what a grant allows, with the names of what it is about', () => {
  const grant = of({ sources: { mode: 'list', entries: ['10.0.0.0/8', 'fd00::/48'] } })
  expect(sentence(grant, (id) => (id === 'w1' ? 'wiki' : id))).toBe(
    'bob@b.example may connect to and read service wiki, by any of its instances, over any network, from 10.0.0.0/8 or fd00::/48, in 30 days.',
  )
  expect(openAxes(grant)).toEqual(['instances', 'networks'])
})

test('says that an empty list admits nobody, and that a grant without a resource is for all of a kind', () => {
  const said = sentence(of({ resource_id: null, networks: { mode: 'list', entries: [] } }))
  expect(said).toContain('every service')
  expect(said).toContain('over network nobody')
})
