// What is looked at on the map; it stands in the address of the page, so that it can be sent to others. Pure.
import type { PeerState } from '../../api/schema.gen'

export interface Look {
  network?: string
  /** The peer that was chosen. */
  peer?: string
  show?: 'table'
  /** Only these, separated by commas; all where there is none. */
  states?: string
}

/** In the order in which they are listed. */
export const STATES: readonly PeerState[] = ['online', 'stale', 'offline', 'unknown', 'pending', 'expired', 'failed', 'blocked']

export const statesIn = ({ states }: Look): PeerState[] => {
  const given = (states ?? '').split(',')
  return STATES.filter((each) => given.includes(each))
}

/** What an address says; what is none of it is left out. */
export function lookIn(given: Record<string, unknown>): Look {
  const found: Look = {}
  for (const each of ['network', 'peer'] as const) {
    const text = given[each]
    if (typeof text === 'string' && text !== '') found[each] = text
  }
  if (given['show'] === 'table') found.show = 'table'
  const states = typeof given['states'] === 'string' ? statesIn({ states: given['states'] }) : []
  if (states.length > 0) found.states = states.join(',')
  return found
}

/** `look` with one state more, or one less. */
export function toggled(look: Look, state: PeerState): Look {
  const now = statesIn(look)
  const next = now.includes(state) ? now.filter((each) => each !== state) : [...now, state]
  return lookIn({ ...look, states: next.join(',') })
}
