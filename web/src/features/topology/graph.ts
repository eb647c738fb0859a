// A network as spots and lines: what the map draws, worked out of what the server tells. Pure.
import type { PeerState, TopologyBridgeView, TopologyEdgeView, TopologyNodeView, TopologyView } from '../../api/schema.gen'

export type Kind = TopologyNodeView['kind'] | 'remote'
export type BridgeLook = 'up' | 'down' | 'proposed' | 'suspended' | 'shut'
export type LineKind = 'spoke' | 'standby' | TopologyEdgeView['way'] | 'bridge'

export interface Spot {
  id: string
  name: string
  kind: Kind
  look: PeerState | BridgeLook
  /** What can be searched for, in lower case. */
  words: string
}

/** `one` and `other` are places in the list of spots. */
export interface Line {
  one: number
  other: number
  kind: LineKind
}

export interface Graph {
  spots: readonly Spot[]
  lines: readonly Line[]
  /** Changes exactly when something stands elsewhere or is tied to something else. */
  shape: string
}

/** So many lines that are no ties are drawn at once; where there are more, those of the chosen peer alone. */
export const MOST_LOOSE = 300

export function bridgeLook({ state, effective, up }: TopologyBridgeView): BridgeLook {
  if (state === 'proposed' || state === 'suspended') return state
  if (!effective) return 'shut'
  return up ? 'up' : 'down'
}

export function graphOf(found: TopologyView): Graph {
  const place = new Map(found.nodes.map((each, index) => [each.id, index]))
  const spots: Spot[] = found.nodes.map(({ id, name, kind, state, addresses }) => ({
    id,
    name,
    kind,
    look: state,
    words: [name, ...addresses].join(' ').toLowerCase(),
  }))
  const lines: Line[] = []
  for (const edge of found.edges) {
    const one = place.get(edge.one)
    const other = place.get(edge.other)
    if (one !== undefined && other !== undefined) lines.push({ one, other, kind: lineKind(edge, found.nodes[one], found.nodes[other]) })
  }
  for (const bridge of found.bridges) {
    const gateway = place.get(bridge.gateway ?? '')
    if (gateway !== undefined) lines.push({ one: gateway, other: spots.length, kind: 'bridge' })
    spots.push({ id: bridge.id, name: bridge.remote, kind: 'remote', look: bridgeLook(bridge), words: bridge.remote })
  }
  return { spots, lines, shape: shapeOf(spots, lines) }
}

function lineKind(edge: TopologyEdgeView, one?: TopologyNodeView, other?: TopologyNodeView): LineKind {
  const jumps = [one, other].filter((each) => each?.kind === 'jump')
  if (jumps.length === 0) return edge.way
  return jumps.some((each) => each?.role === 'primary') ? 'spoke' : 'standby'
}

/** Lines of what is in use, which draw near what they tie together; the others would only clot the map. */
export const isTie = ({ kind }: Line): boolean => kind === 'spoke' || kind === 'direct' || kind === 'bridge'

export const areMany = (lines: readonly Line[]): boolean => lines.filter((each) => !isTie(each)).length > MOST_LOOSE

const shapeOf = (spots: readonly Spot[], lines: readonly Line[]): string =>
  [...spots.map((each) => `${each.id} ${each.kind}`), ...lines.filter(isTie).map((each) => `${each.one}-${each.other}`)].join()

/** The lines that are drawn: loose ones only where they are few, or of the chosen spot. */
export const drawn = (lines: readonly Line[], chosen: number | null): readonly Line[] =>
  areMany(lines) ? lines.filter((each) => isTie(each) || each.one === chosen || each.other === chosen) : lines

/** The places of what stands out: in one of `states` and with `text` in its name or an address; null for everything. */
export function standingOut({ spots }: Graph, states: readonly PeerState[], text: string): ReadonlySet<number> | null {
  const sought = text.trim().toLowerCase()
  if (states.length === 0 && sought === '') return null
  const found = new Set<number>()
  spots.forEach((each, index) => {
    const isOfState = states.length === 0 || (each.kind !== 'remote' && (states as readonly string[]).includes(each.look))
    if (isOfState && each.words.includes(sought)) found.add(index)
  })
  return found
}

/** The chosen one with those that a line ties to it; null where none is chosen. */
export function around({ lines }: Graph, chosen: number | null): ReadonlySet<number> | null {
  if (chosen === null) return null
  const found = new Set([chosen])
  for (const { one, other } of lines) {
    if (one === chosen) found.add(other)
    if (other === chosen) found.add(one)
  }
  return found
}
