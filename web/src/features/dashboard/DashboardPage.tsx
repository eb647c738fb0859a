// Everything that matters, counted; and the first steps while there is nothing yet.
import { SimpleGrid, Stack } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { NetworkView, PeerView } from '../../api/schema.gen'
import type { Whole } from '../../api/pages'
import { session } from '../../api/session'
import { Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { To } from '../../ui/To'
import { CapacityBar } from '../networks/CapacityBar'
import { networks } from '../networks/queries'
import { Federation, Findings, Incidents } from './Cards'
import { isDone, stepsOf, type Step } from './counts'
import { FirstSteps } from './FirstSteps'
import { PeerCounts } from './PeerCounts'
import { allPeers } from './queries'
import { Traffic } from './Traffic'
import { useSamples } from './samples'

const t = texts.dashboard

export function DashboardPage() {
  const known = useQuery(networks)
  const peers = useQuery(allPeers)
  return (
    <Page title={texts.pages.dashboard}>
      <Loaded of={known}>
        {({ items }) => <Loaded of={peers}>{(found) => <Content networks={items} peers={found} readAt={peers.dataUpdatedAt} />}</Loaded>}
      </Loaded>
    </Page>
  )
}

interface Props {
  networks: readonly NetworkView[]
  peers: Whole<PeerView>
  readAt: number
}

function Content({ networks: items, peers, readAt }: Props) {
  const samples = useSamples(peers.items, readAt)
  const steps = stepsOf(peers.items)
  const [open, setOpen] = useState<Step | null>(null)
  const me = useQuery(session).data
  const isBegun = isDone(steps.jump) && isDone(steps.host) && isDone(steps.phone)
  return (
    <Stack>
      {/* What a dialog shows is shown once, so it stays when the last step is done. */}
      {(!isBegun || open !== null) && <FirstSteps network={items[0]} steps={steps} open={open} onOpen={setOpen} />}
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        {peers.items.length > 0 && <PeerCounts peers={peers} />}
        {peers.items.length > 0 && <Traffic samples={samples} />}
        {items.length > 0 && <Use networks={items} />}
        <Incidents />
        {me?.networks === null && <Findings />}
        {me?.networks === null && <Federation />}
      </SimpleGrid>
    </Stack>
  )
}

const SHOWN = 8

function Use({ networks: items }: { networks: readonly NetworkView[] }) {
  return (
    <Section title={t.use} actions={<To to="/networks">{`${texts.networks.all}: ${count(items.length)}`}</To>}>
      <Stack gap="sm">
        {items.slice(0, SHOWN).map((each) => (
          <div key={each.id}>
            <To to="/networks/$networkId" params={{ networkId: each.id }} size="sm">
              {each.name}
            </To>
            <CapacityBar of={each.capacity.v4 ?? each.capacity.v6} />
          </div>
        ))}
      </Stack>
    </Section>
  )
}
