// Peers by state and by kind.
import { Group, Stack, Text } from '@mantine/core'
import type { Whole } from '../../api/pages'
import type { PeerView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Mark } from '../../ui/Mark'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { To } from '../../ui/To'
import { LOOKS } from '../peers/state'
import { byKind, byState } from './counts'

const t = texts.dashboard

export function PeerCounts({ peers: { items, isCut } }: { peers: Whole<PeerView> }) {
  return (
    <Section title={t.peersBy} actions={<To to="/peers">{texts.peers.all}</To>}>
      <Stack gap="sm">
        <Group gap="lg">
          {byState(items).map(([state, many]) => (
            <Group key={state} gap={6}>
              <Mark look={LOOKS[state]} />
              <Text fw={600} className="numbers">
                {count(many)}
              </Text>
            </Group>
          ))}
        </Group>
        <Group gap="lg">
          {byKind(items).map(([kind, many]) => (
            <To key={kind} to="/peers" search={{ kind }} size="sm">
              {`${texts.peers.kinds[kind]} ${count(many)}`}
            </To>
          ))}
        </Group>
        {isCut && (
          <Text size="xs" c="dimmed">
            {`${t.counted} ${count(items.length)}`}
          </Text>
        )}
      </Stack>
    </Section>
  )
}
