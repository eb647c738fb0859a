// Counting what was read. Pure.
import type { GrantView, PeerView } from '../../api/schema.gen'
import { stateOf, type PeerState } from '../peers/state'

const WEEK = 7 * 86_400_000

/** How many of each kind there are, in the order of `names`; what is not there is left out. */
export function tally<T, K extends string>(items: readonly T[], names: readonly K[], of: (item: T) => K): [K, number][] {
  const found = new Map<K, number>()
  for (const each of items) found.set(of(each), (found.get(of(each)) ?? 0) + 1)
  return names.flatMap((name) => (found.has(name) ? [[name, found.get(name) ?? 0] as [K, number]] : []))
}

const STATES: readonly PeerState[] = ['online', 'stale', 'offline', 'unknown', 'pending', 'expired', 'failed', 'blocked']

export const byState = (peers: readonly PeerView[]) => tally(peers, STATES, stateOf)
export const byKind = (peers: readonly PeerView[]) => tally(peers, ['jump', 'dynamic', 'static'], (each) => each.kind)

/** Live grants that end within a week, the soonest first. */
export function endingSoon(grants: readonly GrantView[], now: number = Date.now()): GrantView[] {
  return grants
    .filter((each) => each.state === 'live' && Date.parse(each.expires_at) - now < WEEK)
    .sort((a, b) => Date.parse(a.expires_at) - Date.parse(b.expires_at))
}

export type Step = 'network' | 'jump' | 'host' | 'phone'

/** The first peer that stands for each step, an enrolled one before one that waits. */
export function stepsOf(peers: readonly PeerView[]): Record<Exclude<Step, 'network'>, PeerView | undefined> {
  const first = (kind: PeerView['kind']) => {
    const found = peers.filter((each) => each.kind === kind)
    return found.find((each) => each.enrollment.state === 'enrolled') ?? found[0]
  }
  return { jump: first('jump'), host: first('dynamic'), phone: first('static') }
}

export const isDone = (peer: PeerView | undefined): boolean =>
  peer !== undefined && (peer.kind === 'static' || peer.enrollment.state === 'enrolled')
