// The map as tables: all that it shows, for those who read rather than look.
import { Box, Button, Group, Stack, Text } from '@mantine/core'
import { useState, type ReactNode } from 'react'
import type { TopologyBridgeView, TopologyNodeView, TopologyView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Mark } from '../../ui/Mark'
import { Rows } from '../../ui/Rows'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { count, milliseconds } from '../../ui/time'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { lookOf } from '../bridges/state'
import { LOOKS } from '../peers/state'
import { kindOf } from './Chosen'
import { bridgeLook } from './graph'
import { Glyph } from './Legend'
import { fitting, tunnelsOf, wayOf, type Tunnel } from './summary'

const t = texts.topology
const none = texts.states.nothing
const PART = 100

interface Props {
  of: TopologyView
  states: readonly string[]
  text: string
  chosen: string | null
  choose: (id: string | null) => void
}

export function TopologyTables({ of, states, text, chosen, choose }: Props) {
  const peers = fitting(of.nodes, states, text)
  const shown = new Set(peers.map((each) => each.id))
  const tunnels = tunnelsOf(of, chosen).filter((each) => shown.has(each.from.id) || shown.has(each.to.id))
  return (
    <>
      <Section title={texts.pages.peers}>
        {peers.length === 0 ? <Empty>{t.noneFits}</Empty> : <Peers peers={peers} tunnels={tunnelsOf(of)} choose={choose} />}
      </Section>
      <Section title={t.between}>{tunnels.length === 0 ? <Text size="sm">{t.noTunnels}</Text> : <Tunnels tunnels={tunnels} />}</Section>
      {of.bridges.length > 0 && (
        <Section title={texts.pages.bridges}>
          <Bridges bridges={of.bridges} nodes={of.nodes} />
        </Section>
      )}
    </>
  )
}

function Peers({ peers, tunnels, choose }: { peers: readonly TopologyNodeView[]; tunnels: readonly Tunnel[]; choose: Props['choose'] }) {
  const counts = countsOf(tunnels)
  return (
    <Parts of={peers}>
      {(part) => (
        <Rows
          label={texts.pages.peers}
          minWidth={1080}
          heads={[texts.peers.name, texts.peers.state, texts.peers.kind, texts.peers.addresses, t.since, t.direct, t.relayed, t.unknown, t.onMap]}
          rows={part.map((each) => ({
            key: each.id,
            cells: [
              <To key="to" to="/peers/$peerId" params={{ peerId: each.id }} fw={600} miw={96} display="inline-block">
                {each.name}
              </To>,
              <Box key="state" miw={152}>
                <Mark look={LOOKS[each.state]} />
              </Box>,
              kindOf(each),
              each.addresses[0] ?? none,
              <When key="since" at={each.since} />,
              ...(['direct', 'relayed', 'unknown'] as const).map((way) => count(counts.get(`${each.id} ${way}`) ?? 0)),
              <Button key="choose" size="compact-xs" variant="default" aria-label={`${t.onMap} ${each.name}`} onClick={() => choose(each.id)}>
                {t.onMap}
              </Button>,
            ],
          }))}
        />
      )}
    </Parts>
  )
}

function countsOf(tunnels: readonly Tunnel[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const { from, to, way } of tunnels) {
    for (const { id } of [from, to]) found.set(`${id} ${way}`, (found.get(`${id} ${way}`) ?? 0) + 1)
  }
  return found
}

function Tunnels({ tunnels }: { tunnels: readonly Tunnel[] }) {
  return (
    <Parts of={tunnels}>
      {(part) => (
        <Rows
          label={t.between}
          heads={[t.one, t.other, t.takes, t.since, texts.peers.roundTrip]}
          rows={part.map((each) => ({
            key: `${each.one} ${each.other}`,
            cells: [
              each.from.name,
              each.to.name,
              wayOf(each),
              <When key="since" at={each.since} />,
              each.round_trip_us === null ? none : milliseconds(each.round_trip_us),
            ],
          }))}
        />
      )}
    </Parts>
  )
}

function Bridges({ bridges, nodes }: { bridges: readonly TopologyBridgeView[]; nodes: readonly TopologyNodeView[] }) {
  return (
    <Rows
      label={texts.pages.bridges}
      heads={[t.remote, t.there, t.here, t.tunnel, t.gateway]}
      rows={bridges.map((each) => ({
        key: each.id,
        cells: [
          <To key="to" to="/bridges/$bridgeId" params={{ bridgeId: each.id }} fw={600}>
            {each.remote}
          </To>,
          each.network_there === null ? none : <bdi key="there">{each.network_there}</bdi>,
          <Mark key="state" look={lookOf(each.state)} />,
          <Group key="tunnel" gap={4} wrap="nowrap">
            <Glyph kind="remote" look={bridgeLook(each)} />
            {t.bridge[bridgeLook(each)]}
          </Group>,
          nodes.find(({ id }) => id === each.gateway)?.name ?? none,
        ],
      }))}
    />
  )
}

/** So much at once that the page stays quick; the rest on demand. */
function Parts<T>({ of, children }: { of: readonly T[]; children: (part: readonly T[]) => ReactNode }) {
  const [most, setMost] = useState(PART)
  return (
    <Stack gap="xs">
      {children(of.slice(0, most))}
      {of.length > most && (
        <Group gap="sm">
          <Button variant="default" onClick={() => setMost(most + PART)}>
            {texts.actions.more}
          </Button>
          <Text size="xs" c="dimmed" role="status">
            {`${count(most)} ${t.of} ${count(of.length)}`}
          </Text>
        </Group>
      )}
    </Stack>
  )
}
