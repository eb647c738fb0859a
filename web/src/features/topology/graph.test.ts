import { expect, test } from 'vitest'
import type { TopologyBridgeView, TopologyEdgeView, TopologyNodeView, TopologyView } from '../../api/schema.gen'
import { around, bridgeLook, drawn, graphOf, MOST_LOOSE, standingOut, type LineKind } from './graph'
import { lookIn, toggled } from './look'
import { fitting, tunnelsOf, wayOf } from './summary'

const node = (name: string, fields: Partial<TopologyNodeView> = {}): TopologyNodeView => ({
  id: `id-${name}`,
  name,
  kind: 'dynamic',
  role: null,
  state: 'online',
  since: null,
  addresses: [`10.0.0.${name.length}`],
  isolated: false,
  ...fields,
})
const edge = (one: string, other: string, fields: Partial<TopologyEdgeView> = {}): TopologyEdgeView => ({
  one: `id-${one}`,
  other: `id-${other}`,
  way: 'direct',
  via: null,
  since: null,
  round_trip_us: null,
  ...fields,
})
const bridge = (fields: Partial<TopologyBridgeView> = {}): TopologyBridgeView => ({
  id: 'bridge',
  remote: 'b.example',
  network_there: 'plant',
  state: 'active',
  state_there: 'active',
  effective: true,
  up: true,
  gateway: 'id-gw',
  ...fields,
})
const gw = node('gw', { kind: 'jump', role: 'primary' })
const second = node('second', { kind: 'jump', role: 'standby' })
const whole = (fields: Partial<TopologyView> = {}): TopologyView => ({
  network: { id: 'office', name: 'office' },
  nodes: [gw, second, node('laptop'), node('desk', { state: 'stale' })],
  edges: [
    edge('gw', 'second'),
    edge('gw', 'laptop'),
    edge('second', 'laptop'),
    edge('laptop', 'desk', { way: 'relayed', via: 'id-gw' }),
  ],
  bridges: [bridge()],
  nodes_left_out: 0,
  edges_left_out: 0,
  ...fields,
})

const kinds = (found: TopologyView): LineKind[] => graphOf(found).lines.map((each) => each.kind)

test('a line says whether it leads to the jump peer in use, to a standby one, directly, through one, or over a bridge', () => {
  expect(kinds(whole())).toEqual(['spoke', 'spoke', 'standby', 'relayed', 'bridge'])
  expect(kinds(whole({ edges: [edge('laptop', 'desk')], bridges: [bridge({ gateway: null })] }))).toEqual(['direct'])
})

test('a line to a peer that is not told of is left out', () => {
  expect(kinds(whole({ edges: [edge('gw', 'nobody')], bridges: [] }))).toEqual([])
})

test('the shape of a graph stays when only states, and ways through jump peers, change', () => {
  const before = graphOf(whole()).shape
  const nodes = whole().nodes.map((each) => ({ ...each, state: 'offline' as const }))
  expect(graphOf(whole({ nodes })).shape).toBe(before)
  const unknown = [...whole().edges.slice(0, 3), edge('laptop', 'desk', { way: 'unknown' })]
  expect(graphOf(whole({ edges: unknown })).shape).toBe(before)
  const direct = [...whole().edges.slice(0, 3), edge('laptop', 'desk')]
  expect(graphOf(whole({ edges: direct })).shape).not.toBe(before)
  expect(graphOf(whole({ nodes: [...whole().nodes, node('new')] })).shape).not.toBe(before)
})

test('loose lines are all drawn where they are few, and of the chosen peer alone where they are many', () => {
  const nodes = Array.from({ length: 30 }, (_, index) => node(`host-${index}`))
  const edges = nodes.flatMap((one, index) =>
    nodes.slice(index + 1).map((other) => edge(one.name, other.name, { way: 'relayed', via: 'id-gw' })),
  )
  const few = graphOf(whole({ nodes, edges: edges.slice(0, MOST_LOOSE), bridges: [] }))
  expect(drawn(few.lines, null)).toHaveLength(MOST_LOOSE)
  const many = graphOf(whole({ nodes, edges, bridges: [] }))
  expect(drawn(many.lines, null)).toHaveLength(0)
  expect(drawn(many.lines, 3)).toHaveLength(29)
})

test('a bridge looks as its weaker side and its tunnel do', () => {
  expect(bridgeLook(bridge())).toBe('up')
  expect(bridgeLook(bridge({ up: false }))).toBe('down')
  expect(bridgeLook(bridge({ effective: false, up: false }))).toBe('shut')
  expect(bridgeLook(bridge({ state: 'suspended', effective: false }))).toBe('suspended')
  expect(bridgeLook(bridge({ state: 'proposed', effective: false }))).toBe('proposed')
})

test('what fits states and text stands out, and everything does where nothing is asked for', () => {
  const graph = graphOf(whole())
  expect(standingOut(graph, [], ' ')).toBeNull()
  expect(standingOut(graph, ['stale'], '')).toEqual(new Set([3]))
  expect(standingOut(graph, [], 'LAP')).toEqual(new Set([2]))
  expect(standingOut(graph, [], 'b.ex')).toEqual(new Set([4]))
  expect(standingOut(graph, ['stale'], 'laptop')).toEqual(new Set())
  expect(fitting(whole().nodes, ['stale'], '').map((each) => each.name)).toEqual(['desk'])
  expect(fitting(whole().nodes, [], '10.0.0.6').map((each) => each.name)).toEqual(['second', 'laptop'])
})

test('a chosen peer stands out with those that it has tunnels with', () => {
  expect(around(graphOf(whole()), 3)).toEqual(new Set([3, 2]))
  expect(around(graphOf(whole()), null)).toBeNull()
})

test('the ways of a peer begin at it and name the jump peer in between', () => {
  const [found] = tunnelsOf(whole(), 'id-desk')
  expect([found?.from.name, found?.to.name, found && wayOf(found)]).toEqual(['desk', 'laptop', 'via gw'])
  expect(tunnelsOf(whole())).toHaveLength(4)
})

test('an address keeps what is looked at and nothing else', () => {
  const look = { network: 'n', peer: 'p', show: 'table', states: 'stale,online' }
  expect(lookIn({ ...look, other: 1, states: 'stale,nonsense,online' })).toEqual({ ...look, states: 'online,stale' })
  expect(lookIn({ network: 7, peer: '', show: 'map', states: 'nonsense' })).toEqual({})
})

test('a state is chosen and let go again', () => {
  const once = toggled({ network: 'n' }, 'stale')
  expect(once).toEqual({ network: 'n', states: 'stale' })
  expect(toggled(once, 'stale')).toEqual({ network: 'n' })
})
