// Why a call passed or did not, or whether one would: which check decides, and what each axis was given.
import { Alert, Button, Group, Select, SimpleGrid, Stack, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconBan, IconCircleCheck } from '@tabler/icons-react'
import { answeredIn } from '../../api/forms'
import type { ExplanationView, GrantDetailsView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Rows } from '../../ui/Rows'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { useNetworkChoice } from '../networks/choice'
import { useNames, useServiceChoice } from './names'
import { useExplain } from './queries'

const t = texts.grants
const WAN = { value: 'wan', label: t.wan }
const ASKED = { request_id: '', instance: '', network: '', source: '', resource_id: '', scope: '' }

export function Explain({ of: grant }: { of: GrantDetailsView }) {
  const explain = useExplain(grant.id)
  const networks = useNetworkChoice()
  const services = useServiceChoice()
  const form = useForm({ initialValues: ASKED })
  const submit = form.onSubmit((values) => {
    const facts = Object.entries(values)
      .filter(([, value]) => value)
      .map(([name, value]) => [name, value.trim()] as const)
    explain.mutate(Object.fromEntries(facts), answeredIn(form, () => undefined))
  })
  const isOfServices = grant.kind === 'service'
  return (
    <Section title={t.explain}>
      <form onSubmit={submit} noValidate>
        <Stack>
          <Text size="sm">{t.explainSays}</Text>
          <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
            <TextInput label={t.requestId} {...form.getInputProps('request_id')} />
            <TextInput label={t.instance} {...form.getInputProps('instance')} />
            <Select label={t.network} clearable data={[WAN, ...networks]} {...form.getInputProps('network')} />
            <TextInput label={t.source} {...form.getInputProps('source')} />
            {isOfServices ? (
              <Select label={t.resource} clearable searchable data={services} {...form.getInputProps('resource_id')} />
            ) : (
              <TextInput label={t.resource} {...form.getInputProps('resource_id')} />
            )}
            <Select label={t.scope} clearable data={Object.keys(t.scopeNames)} {...form.getInputProps('scope')} />
          </SimpleGrid>
          {explain.error && <Failed error={explain.error} />}
          <Group>
            <Button type="submit" variant="default" loading={explain.isPending}>
              {t.ask}
            </Button>
          </Group>
        </Stack>
      </form>
      {explain.data && <Verdict of={explain.data} />}
    </Section>
  )
}

function Verdict({ of: found }: { of: ExplanationView }) {
  const names = useNames()
  const says = found.allowed ? t.allowed : `${t.denied} ${found.deciding ?? ''}: ${found.code}`
  const then = found.recorded === null ? null : found.recorded ? `${t.denied} ${found.recorded}` : t.letPass
  return (
    <Stack mt="md">
      <Alert
        color={found.allowed ? 'teal' : 'red'}
        icon={found.allowed ? <IconCircleCheck aria-hidden /> : <IconBan aria-hidden />}
        title={says}
        role="status"
      >
        <Text size="sm">{`${t.bridge}: ${found.bridge_state}`}</Text>
        {then && <Text size="sm">{`${t.then}: ${then}`}</Text>}
      </Alert>
      <Rows
        label={t.axis}
        heads={[t.axis, t.allows, t.supplied, t.admitted]}
        rows={found.axes.map((each) => ({
          key: each.axis,
          cells: [
            each.axis,
            each.mode === 'any' ? t.any : each.allowed.map(names).join(', ') || t.nobody,
            each.supplied && <Foreign key="supplied">{names(each.supplied)}</Foreign>,
            each.admitted ? t.yes : t.no,
          ],
        }))}
      />
      <Rows
        label={t.check}
        heads={[t.check, t.result]}
        minWidth={320}
        rows={found.checks.map((each) => ({ key: each.check, cells: [each.check, each.refusal || t.passed] }))}
      />
    </Stack>
  )
}
