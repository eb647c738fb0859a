// What is open against a peer.
import { Group, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { openIncidents } from './queries'

const t = texts.peers

export function PeerIncidents({ peerId }: { peerId: string }) {
  return (
    <Section title={t.incidents}>
      <Loaded of={useQuery(openIncidents(peerId))} rows={1}>
        {({ items }) =>
          items.length === 0 ? (
            <Text size="sm">{t.noIncidents}</Text>
          ) : (
            <Stack gap="xs">
              {items.map((each) => (
                <Group key={each.id} gap="sm">
                  <To to="/incidents/$incidentId" params={{ incidentId: each.id }}>
                    {texts.incidents.types[each.type]}
                  </To>
                  <Text size="sm">
                    <When at={each.detected_at} />
                  </Text>
                </Group>
              ))}
            </Stack>
          )
        }
      </Loaded>
    </Section>
  )
}
