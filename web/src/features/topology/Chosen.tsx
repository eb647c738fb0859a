// The peer that was chosen on the map: how it stands, and its ways to others.
import { Button, Group, Stack, Text } from '@mantine/core'
import { useState } from 'react'
import type { TopologyNodeView, TopologyView } from '../../api/schema.gen'
import { Facts, Section } from '../../ui/Facts'
import { Mark } from '../../ui/Mark'
import { texts } from '../../ui/texts'
import { count, milliseconds } from '../../ui/time'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { LOOKS } from '../peers/state'
import { tunnelsOf, wayOf, type Tunnel } from './summary'

const t = texts.topology
const PART = 12

export const kindOf = ({ kind, role }: TopologyNodeView): string =>
  role ? `${texts.peers.kinds[kind]}, ${texts.peers.roles[role]}` : texts.peers.kinds[kind]

export function Chosen({ of, peer, letGo }: { of: TopologyView; peer: TopologyNodeView; letGo: () => void }) {
  const tunnels = tunnelsOf(of, peer.id)
  const many = (way: Tunnel['way']) => {
    const found = tunnels.filter((each) => each.way === way).length
    return found > 0 && count(found)
  }
  const actions = (
    <Button size="compact-sm" variant="default" onClick={letGo}>
      {t.letGo}
    </Button>
  )
  return (
    <Section title={peer.name} actions={actions}>
      <Stack gap="sm">
        <Group gap="sm">
          <Mark look={LOOKS[peer.state]} />
          <To to="/peers/$peerId" params={{ peerId: peer.id }} size="sm">
            {t.page}
          </To>
        </Group>
        <Facts
          isNarrow
          facts={[
            [texts.peers.kind, kindOf(peer)],
            [texts.peers.addresses, peer.addresses.join(', ')],
            [t.since, peer.since && <When at={peer.since} />],
            [texts.peers.isolated, peer.isolated && texts.peers.yes],
            [t.direct, many('direct')],
            [t.relayed, many('relayed')],
            [t.unknown, many('unknown')],
          ]}
        />
        {tunnels.length === 0 ? <Text size="sm">{t.noWays}</Text> : <Ways tunnels={tunnels} />}
      </Stack>
    </Section>
  )
}

function Ways({ tunnels }: { tunnels: readonly Tunnel[] }) {
  const [most, setMost] = useState(PART)
  return (
    <Stack gap={4}>
      {tunnels.slice(0, most).map((each) => (
        <Group key={each.to.id} justify="space-between" wrap="nowrap" gap="xs" className="numbers">
          <Text size="sm">{each.to.name}</Text>
          <Text size="sm" c="dimmed" ta="right">
            {each.round_trip_us === null ? wayOf(each) : `${wayOf(each)}, ${milliseconds(each.round_trip_us)}`}
          </Text>
        </Group>
      ))}
      {tunnels.length > most && (
        <Button size="compact-sm" variant="default" onClick={() => setMost(most + 5 * PART)}>
          {texts.actions.more}
        </Button>
      )}
    </Stack>
  )
}
