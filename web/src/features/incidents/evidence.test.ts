import { expect, test } from 'vitest'
import { timeline } from './evidence'

test('puts what several observers saw in the order of time', () => {
  const at = (second: number) => `2030-01-01T00:00:0${second}Z`
  const found = timeline({
    voices: [{ at: at(2), source: '192.0.2.1', process: { machine_id: 'abcdefghijk', boot_id: 'b', started_at: 0 } }],
    observations: [
      { observer: null, name: 'gw', sightings: [{ at: at(3), place: 'far' }, { at: at(1), place: 'near' }] },
    ],
  })
  expect(found.map((each) => each.place)).toEqual(['near', '192.0.2.1', 'far'])
  expect(found[1]?.process).toEqual({ machine: 'abcdefgh', boot: 'b', startedAt: '1970-01-01T00:00:00.000Z' })
})
