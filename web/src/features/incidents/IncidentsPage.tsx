// Incidents: what was detected of misused identities.
import { Group, SegmentedControl, Select } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { IncidentView } from '../../api/schema.gen'
import { Listed } from '../../ui/Listed'
import { Mark } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { incidents, type Filters } from './queries'
import { lookOf } from './state'

const t = texts.incidents
const STATES = [
  { value: 'open', label: t.open },
  { value: 'resolved', label: t.resolved },
  { value: 'all', label: t.any },
] as const
const TYPES = Object.entries(t.types).map(([value, label]) => ({ value: value as IncidentView['type'], label }))

export function IncidentsPage() {
  const [state, setState] = useState<(typeof STATES)[number]['value']>('open')
  const [type, setType] = useState<IncidentView['type'] | null>(null)
  const filters: Filters = { ...(state === 'all' ? {} : { state }), ...(type ? { type } : {}) }
  const found = useInfiniteQuery(incidents(filters))
  return (
    <Page title={texts.pages.incidents}>
      <Group>
        <SegmentedControl aria-label={t.show} data={[...STATES]} value={state} onChange={setState} />
        <Select aria-label={t.type} placeholder={t.anyType} clearable data={TYPES} value={type} onChange={setType} />
      </Group>
      <Listed of={found} none={state === 'open' ? t.none : t.noneEver}>
        {(items) => <IncidentTable incidents={items} />}
      </Listed>
    </Page>
  )
}

function IncidentTable({ incidents: items }: { incidents: readonly IncidentView[] }) {
  const rows = items.map((each) => ({
    key: each.id,
    cells: [
      <To key="type" to="/incidents/$incidentId" params={{ incidentId: each.id }} fw={600}>
        {t.types[each.type]}
      </To>,
      each.peer.name,
      each.network.name,
      <Mark key="state" look={lookOf(each)} />,
      <When key="detected" at={each.detected_at} />,
    ],
  }))
  return <Rows label={texts.pages.incidents} heads={[t.type, t.peer, t.network, t.state, t.detected]} rows={rows} minWidth={560} />
}
