// Both sides of a bridge beside each other: each has its own state and brings in its own terms.
import { Code, SimpleGrid, Stack, Text } from '@mantine/core'
import type { BridgeView, TermsView } from '../../api/schema.gen'
import { Facts, Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Mark } from '../../ui/Mark'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { lookOf, networksOf } from './state'

const t = texts.bridges

export function TwoSides({ of: each }: { of: BridgeView }) {
  const { ours, theirs } = networksOf(each)
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }}>
      <Section title={t.ours} actions={<Mark look={lookOf(each.state)} />}>
        <Terms network={ours} terms={each.ours} reason={each.reason} />
      </Section>
      <Section title={t.theirs} actions={<Mark look={lookOf(each.state_there)} />}>
        <Terms network={theirs} terms={each.theirs} reason={each.reason_there} />
      </Section>
    </SimpleGrid>
  )
}

function Terms({ network, terms, reason }: { network: string; terms: TermsView | null; reason: string }) {
  const [gateway, ...standby] = (terms?.gateways ?? []).map((each) => (
    <Stack key={each.public_key} gap={0}>
      <Code>{each.public_key}</Code>
      <Text size="xs">{each.endpoints.join(', ')}</Text>
    </Stack>
  ))
  return (
    <Facts
      facts={[
        [texts.peers.network, <Foreign key="network">{network}</Foreign>],
        [t.reason, reason && <Foreign key="reason">{reason}</Foreign>],
        [t.prefixes, terms?.prefixes.join(', ')],
        [t.gateway, terms && (gateway ?? t.noGateway)],
        [t.standby, standby],
        [t.ingress, terms && (terms.vip ? `${terms.vip} ${t.port} ${terms.port ?? ''}` : t.noIngress)],
        [t.instances, terms && count(Object.keys(terms.instances).length)],
      ]}
    />
  )
}
