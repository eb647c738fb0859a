// What was changed, when and by whom, and how far the log is linked and sealed.
import { Button, Code, Group, Select, SimpleGrid, Table, Text, TextInput } from '@mantine/core'
import { useDebouncedValue, useDisclosure } from '@mantine/hooks'
import { IconBan, IconCircleCheck } from '@tabler/icons-react'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { AuditView } from '../../api/schema.gen'
import { Facts, Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Loaded } from '../../ui/Loaded'
import { Mark, type Look } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { at, count } from '../../ui/time'
import { chain, entries, useAskWitnesses, type Filters } from './queries'

const t = texts.audit
const SETTLED = 300
// Long ids shall not push what happened out of the window.
const BREAKS = { overflowWrap: 'anywhere', minWidth: 120 } as const
const OUTCOMES = [
  { value: 'done', label: t.outcomes.done },
  { value: 'denied', label: t.outcomes.denied },
] as const
const FIELDS = [
  ['action', t.action, t.actionHint],
  ['actor', t.actor, 'local, user:ada, remote:b.example/*'],
  ['subject', t.subject, ''],
  ['since', t.since, t.timeHint],
  ['until', t.until, t.timeHint],
] as const
type Typed = Record<(typeof FIELDS)[number][0], string>

export function AuditPage() {
  const [typed, setTyped] = useState<Typed>({ action: '', actor: '', subject: '', since: '', until: '' })
  const [outcome, setOutcome] = useState<'done' | 'denied' | null>(null)
  const [settled] = useDebouncedValue(typed, SETTLED)
  const given = Object.fromEntries(Object.entries(settled).filter(([, value]) => value !== ''))
  const filters: Filters = { ...given, ...(outcome ? { outcome } : {}) }
  return (
    <Page title={texts.pages.audit}>
      <Chain />
      <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
        {FIELDS.map(([name, label, hint]) => (
          <TextInput
            key={name}
            label={label}
            placeholder={hint}
            value={typed[name]}
            onChange={(event) => setTyped({ ...typed, [name]: event.currentTarget.value })}
          />
        ))}
        <Select label={t.outcome} placeholder={t.anyOutcome} clearable data={[...OUTCOMES]} value={outcome} onChange={setOutcome} />
      </SimpleGrid>
      <Listed of={useInfiniteQuery(entries(filters))} none={t.none}>
        {(items) => <Journal entries={items} />}
      </Listed>
    </Page>
  )
}

const HEADS = [t.time, t.actor, t.action, t.subject, t.outcome, t.details] as const

function Journal({ entries: items }: { entries: readonly AuditView[] }) {
  return (
    <Table.ScrollContainer minWidth={820} scrollAreaProps={{ viewportProps: { tabIndex: 0 } }}>
      <Table aria-label={texts.pages.audit} className="numbers">
        <Table.Thead>
          <Table.Tr>
            {HEADS.map((each) => (
              <Table.Th key={each}>{each}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {items.map((each) => (
            <Entry key={each.number} of={each} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

const lookOf = (outcome: string): Look =>
  outcome === 'denied'
    ? { color: 'red', icon: IconBan, label: t.outcomes.denied }
    : { color: 'teal', icon: IconCircleCheck, label: t.outcomes.done }

const shown = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))

function Entry({ of: each }: { of: AuditView }) {
  const [isOpen, details] = useDisclosure(false)
  return (
    <>
      <Table.Tr>
        <Table.Td style={{ whiteSpace: 'nowrap' }}>{at(each.at)}</Table.Td>
        <Table.Td style={BREAKS}>
          <Foreign>{each.actor}</Foreign>
        </Table.Td>
        <Table.Td>{each.action}</Table.Td>
        <Table.Td style={BREAKS}>
          <Foreign>{each.subject}</Foreign>
        </Table.Td>
        <Table.Td>
          <Mark look={lookOf(each.outcome)} />
        </Table.Td>
        <Table.Td>
          <Button variant="subtle" size="compact-sm" aria-expanded={isOpen} onClick={details.toggle}>
            {isOpen ? t.hide : t.details}
          </Button>
        </Table.Td>
      </Table.Tr>
      {isOpen && (
        <Table.Tr>
          <Table.Td colSpan={HEADS.length}>
            <Facts
              facts={[
                [t.number, count(each.number)],
                [t.reason, each.reason],
                [t.request, each.request_id && <Code key="request">{each.request_id}</Code>],
                [t.hash, each.hash ? <Code key="hash">{each.hash}</Code> : t.notLinked],
                ...Object.entries(each.facts).map(([name, value]) => [name, <Foreign key={name}>{shown(value)}</Foreign>] as const),
              ]}
            />
          </Table.Td>
        </Table.Tr>
      )}
    </>
  )
}

function Chain() {
  const ask = useAskWitnesses()
  return (
    <Section
      title={t.chain}
      actions={
        <Button variant="default" loading={ask.isPending} onClick={() => ask.mutate()}>
          {t.ask}
        </Button>
      }
    >
      <Text size="sm" mb="sm">
        {t.chainSays}
      </Text>
      <Loaded of={useQuery(chain)} rows={1}>
        {(each) => (
          <Facts
            facts={[
              [t.rows, count(each.last)],
              [t.linked, count(each.linked)],
              [t.sealed, count(each.sealed)],
              [t.head, each.hash && <Code key="head">{each.hash}</Code>],
            ]}
          />
        )}
      </Loaded>
      {ask.error && <Failed error={ask.error} />}
      {ask.data && (
        <Group mt="sm" role="status">
          {ask.data.length === 0 ? (
            <Text size="sm">{texts.remotes.none}</Text>
          ) : (
            <Rows
              label={t.ask}
              heads={[t.domain, t.answer]}
              rows={ask.data.map((each) => ({
                key: each.domain,
                cells: [
                  each.domain,
                  each.problem ? (
                    <Foreign key="answer">{`${t.problem}: ${each.problem}`}</Foreign>
                  ) : (
                    `${each.heads} ${t.heads}, ${each.contradicting.length} ${t.contradicting}`
                  ),
                ],
              }))}
            />
          )}
        </Group>
      )}
    </Section>
  )
}
