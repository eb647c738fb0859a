// A map in numbers, and the ways of one peer. Pure.
import type { TopologyEdgeView, TopologyNodeView, TopologyView } from '../../api/schema.gen'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'

const t = texts.topology

/** What is said of the map to those who do not see it. */
export const saysOf = ({ network, nodes, edges, bridges }: TopologyView): string =>
  [
    `${t.mapOf} ${network.name}`,
    `${t.peers}: ${count(nodes.length)}`,
    `${t.tunnels}: ${count(edges.length)}`,
    `${t.bridges}: ${count(bridges.length)}`,
  ].join(', ')

/** What was too much to be shown, as sentences. */
export function leftOut({ nodes_left_out: nodes, edges_left_out: edges }: TopologyView): string[] {
  const said = []
  if (nodes > 0) said.push(`${count(nodes)} ${t.peersLeftOut}`)
  if (edges > 0) said.push(`${count(edges)} ${t.tunnelsLeftOut}`)
  return said
}

export interface Tunnel extends TopologyEdgeView {
  from: TopologyNodeView
  to: TopologyNodeView
  through: TopologyNodeView | undefined
}

/** The tunnels with both ends by name; those of one peer begin at it. */
export function tunnelsOf({ nodes, edges }: TopologyView, peer: string | null = null): Tunnel[] {
  const byId = new Map(nodes.map((each) => [each.id, each]))
  return edges.flatMap((edge) => {
    if (peer !== null && edge.one !== peer && edge.other !== peer) return []
    const [from, to] = [byId.get(edge.one), byId.get(edge.other)]
    if (from === undefined || to === undefined) return []
    const ends = edge.other === peer ? { from: to, to: from } : { from, to }
    return [{ ...edge, ...ends, through: byId.get(edge.via ?? '') }]
  })
}

export const wayOf = ({ way, through }: Tunnel): string =>
  way === 'direct' ? texts.peers.direct : way === 'relayed' ? `${texts.peers.via} ${through?.name ?? '?'}` : texts.peers.states.unknown

/** Peers in one of `states` and with `text` in their name or an address. */
export function fitting(nodes: readonly TopologyNodeView[], states: readonly string[], text: string): TopologyNodeView[] {
  const sought = text.trim().toLowerCase()
  return nodes.filter(
    ({ state, name, addresses }) =>
      (states.length === 0 || states.includes(state)) && [name, ...addresses].some((each) => each.toLowerCase().includes(sought)),
  )
}
