// What this backend is to others, and how others find it.
import { Button, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import type { FederationView } from '../../api/schema.gen'
import { Copied } from '../../ui/Copied'
import { Facts, Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { ChangeFederation, SetUp } from './forms'
import { federation } from './queries'

const t = texts.federation

export function FederationPage() {
  const read = useQuery(federation)
  const [isOpen, form] = useDisclosure(false)
  return (
    <Page
      title={texts.pages.federation}
      actions={
        read.data && (
          <Button variant="default" onClick={form.open}>
            {t.change}
          </Button>
        )
      }
    >
      <Loaded of={read}>
        {(facts) =>
          facts === null ? (
            <Empty action={<Button onClick={form.open}>{t.setUp}</Button>}>{t.none}</Empty>
          ) : (
            <Standing of={facts} />
          )
        }
      </Loaded>
      {isOpen && read.data && <ChangeFederation of={read.data} onClose={form.close} />}
      {isOpen && read.data === null && <SetUp onClose={form.close} />}
    </Page>
  )
}

function Standing({ of: facts }: { of: FederationView }) {
  return (
    <Stack>
      <Section title={t.own}>
        <Facts
          facts={[
            [t.domain, facts.domain],
            [t.infra, facts.infra_domains.join(', ')],
            [t.strategy, t.strategies[facts.strategy]],
            [t.listen, facts.listeners.map((each) => `${each.address} ${each.port} (${each.network})`).join(', ')],
            [t.service, facts.service],
            [t.ports, facts.ports.join(', ')],
            [t.roots, count(facts.shared_roots)],
          ]}
        />
      </Section>
      <Section title={t.publish}>
        <Stack gap="sm">
          <Text size="sm">{t.publishSays}</Text>
          <Copied label={t.publish}>{facts.srv_records.join('\n')}</Copied>
        </Stack>
      </Section>
    </Stack>
  )
}
