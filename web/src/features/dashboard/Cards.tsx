// What needs somebody's attention: incidents, findings, bridges that do not work, grants that end soon.
import { Group, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { GrantView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Loaded } from '../../ui/Loaded'
import { Mark } from '../../ui/Mark'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { lookOf } from '../incidents/state'
import { endingSoon, tally } from './counts'
import { bridges, findings, grants, openIncidents } from './queries'

const t = texts.dashboard
const SHOWN = 5

export function Incidents() {
  return (
    <Section title={t.open} actions={<To to="/incidents">{texts.incidents.all}</To>}>
      <Loaded of={useQuery(openIncidents)} rows={1}>
        {({ items }) => (
          <Stack gap="xs">
            <Text fw={600}>
              {items.length === 0 ? t.none : `${count(items.length)} ${t.areOpen}, ${count(items.filter((each) => each.blocks).length)} ${t.blocking}`}
            </Text>
            {items.slice(0, SHOWN).map((each) => (
              <Group key={each.id} gap="sm">
                <To to="/incidents/$incidentId" params={{ incidentId: each.id }} size="sm">
                  {`${texts.incidents.types[each.type]}: ${each.peer.name}`}
                </To>
                <Mark look={lookOf(each)} />
              </Group>
            ))}
          </Stack>
        )}
      </Loaded>
    </Section>
  )
}

export function Findings() {
  return (
    <Section title={t.findings} actions={<To to="/findings">{t.allFindings}</To>}>
      <Loaded of={useQuery(findings)} rows={1}>
        {({ items }) => (
          <Stack gap="xs">
            <Text fw={600}>
              {items.length === 0 ? t.none : `${count(items.length)} ${t.areOpen}, ${count(items.filter((each) => each.severity === 'high').length)} ${t.high}`}
            </Text>
            {items.slice(0, SHOWN).map((each) => (
              <Text key={each.id} size="sm">
                <Foreign>{each.domain}</Foreign>
                {`: ${each.mend}`}
              </Text>
            ))}
          </Stack>
        )}
      </Loaded>
    </Section>
  )
}

export function Federation() {
  return (
    <Section title={t.bridgesAndGrants} actions={<To to="/bridges">{t.allBridges}</To>}>
      <Stack gap="sm">
        <Loaded of={useQuery(bridges)} rows={1}>
          {({ items }) => {
            const states = tally(items, ['proposed', 'active', 'suspended', 'revoked'], (each) => each.state)
            const says = states.map(([state, many]) => `${count(many)} ${t.bridgeStates[state]}`).join(', ')
            return <Text size="sm">{`${texts.pages.bridges}: ${says || t.none}`}</Text>
          }}
        </Loaded>
        <Loaded of={useQuery(grants)} rows={1}>
          {({ items }) => <Ending grants={endingSoon(items)} live={items.filter((each) => each.state === 'live').length} />}
        </Loaded>
      </Stack>
    </Section>
  )
}

function Ending({ grants: items, live }: { grants: readonly GrantView[]; live: number }) {
  return (
    <>
      <Text size="sm">{`${t.liveGrants}: ${live === 0 ? t.none : count(live)}`}</Text>
      {items.length > 0 && (
        <Text size="sm" fw={600}>
          {t.soon}
        </Text>
      )}
      {items.slice(0, SHOWN).map((each) => (
        <Text key={each.id} size="sm">
          <To to="/grants/$grantId" params={{ grantId: each.id }}>
            <Foreign>{`${each.remote}: ${each.subject}`}</Foreign>
          </To>{' '}
          <When at={each.expires_at} />
        </Text>
      ))}
    </>
  )
}
