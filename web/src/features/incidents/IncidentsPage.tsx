// Incidents: what was detected of misused identities.
import { Button, Group, SegmentedControl, Select, Stack, Table } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { IncidentView } from '../../api/schema.gen'
import { Loaded } from '../../ui/Loaded'
import { Mark } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Empty } from '../../ui/states'
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
      <Loaded of={found}>
        {({ pages }) => {
          const items = pages.flatMap((page) => page.items)
          if (items.length === 0) return <Empty>{state === 'open' ? t.none : t.noneEver}</Empty>
          return (
            <Stack>
              <IncidentTable incidents={items} />
              {found.hasNextPage && (
                <Button variant="default" loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
                  {texts.actions.more}
                </Button>
              )}
            </Stack>
          )
        }}
      </Loaded>
    </Page>
  )
}

function IncidentTable({ incidents: items }: { incidents: readonly IncidentView[] }) {
  return (
    <Table.ScrollContainer minWidth={560} scrollAreaProps={{ viewportProps: { tabIndex: 0 } }}>
      <Table>
        <Table.Thead>
          <Table.Tr>
            {[t.type, t.peer, t.network, t.state, t.detected].map((each) => (
              <Table.Th key={each}>{each}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {items.map((each) => (
            <Table.Tr key={each.id}>
              <Table.Td>
                <To to="/incidents/$incidentId" params={{ incidentId: each.id }} fw={600}>
                  {t.types[each.type]}
                </To>
              </Table.Td>
              <Table.Td>{each.peer.name}</Table.Td>
              <Table.Td>{each.network.name}</Table.Td>
              <Table.Td>
                <Mark look={lookOf(each)} />
              </Table.Td>
              <Table.Td>
                <When at={each.detected_at} />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}
