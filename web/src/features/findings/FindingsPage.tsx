// What an operator should look at, and what to do about it.
import { Checkbox, Code, Paper, Stack, Text } from '@mantine/core'
import { IconAlertHexagon, IconAlertTriangle, IconCircleCheck } from '@tabler/icons-react'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { FindingView } from '../../api/schema.gen'
import { Facts } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Mark, type Look } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { texts } from '../../ui/texts'
import { at, count } from '../../ui/time'
import { When } from '../../ui/When'
import { findings } from './queries'

const t = texts.findings

export function FindingsPage() {
  const [isAll, setAll] = useState(false)
  return (
    <Page
      title={texts.pages.findings}
      actions={<Checkbox label={t.cleared} checked={isAll} onChange={(event) => setAll(event.currentTarget.checked)} />}
    >
      <Listed of={useInfiniteQuery(findings(isAll))} none={t.none}>
        {(items) => (
          <Stack>
            {items.map((each) => (
              <Finding key={each.id} of={each} />
            ))}
          </Stack>
        )}
      </Listed>
    </Page>
  )
}

function lookOf({ severity, cleared_at: clearedAt }: FindingView): Look {
  if (clearedAt) return { color: 'teal', icon: IconCircleCheck, label: t.over }
  return severity === 'high'
    ? { color: 'red', icon: IconAlertHexagon, label: t.severities.high }
    : { color: 'yellow', icon: IconAlertTriangle, label: t.severities.warning }
}

const shown = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))

function Finding({ of: each }: { of: FindingView }) {
  return (
    <Paper withBorder p="md" component="article" aria-label={each.kind}>
      <div className="heading">
        <Code>{each.kind}</Code>
        <Mark look={lookOf(each)} />
      </div>
      <Facts
        facts={[
          [t.subject, <Foreign key="subject">{`${each.domain} ${each.subject}`.trim()}</Foreign>],
          [t.first, at(each.first_at)],
          [t.last, <When key="last" at={each.last_at} />],
          [t.times, count(each.count)],
          [t.over, each.cleared_at && at(each.cleared_at)],
          ...Object.entries(each.evidence).map(([name, value]) => [name, <Foreign key={name}>{shown(value)}</Foreign>] as const),
        ]}
      />
      {!each.cleared_at && (
        <Text size="sm" mt="sm">
          {`${t.mend}: ${each.mend}`}
        </Text>
      )}
    </Paper>
  )
}
