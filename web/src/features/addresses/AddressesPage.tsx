// The addresses of one network: a map, who has what, and what is kept back.
import { Select, Stack } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { NetworkView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { CapacityBar } from '../networks/CapacityBar'
import { networks } from '../networks/queries'
import { AllocationMap } from './AllocationMap'
import { Holders } from './Holders'
import { holders, reservations } from './queries'
import { Reservations } from './Reservations'

const t = texts.addresses

export function AddressesPage() {
  return (
    <Page title={texts.pages.addresses}>
      <Loaded of={useQuery(networks)}>
        {({ items }) => (items.length === 0 ? <Empty>{t.none}</Empty> : <Addresses networks={items} />)}
      </Loaded>
    </Page>
  )
}

function Addresses({ networks: items }: { networks: readonly NetworkView[] }) {
  const [chosen, choose] = useState<string | null>(null)
  const network = items.find((each) => each.id === chosen) ?? items[0]
  if (network === undefined) return null
  return (
    <Stack>
      <Select
        label={texts.peers.network}
        maw={320}
        allowDeselect={false}
        data={items.map((each) => ({ value: each.id, label: each.name }))}
        value={network.id}
        onChange={choose}
      />
      <OfNetwork key={network.id} network={network} />
    </Stack>
  )
}

function OfNetwork({ network }: { network: NetworkView }) {
  const given = useQuery(holders(network.id))
  const kept = useQuery(reservations(network.id))
  return (
    <>
      <Section title={t.map}>
        <Stack>
          <CapacityBar of={network.capacity.v4 ?? network.capacity.v6} />
          <Loaded of={given}>
            {({ items }) => <AllocationMap cidr={network.cidr_v4} peers={items} reserved={kept.data?.items ?? []} />}
          </Loaded>
        </Stack>
      </Section>
      <Loaded of={kept} rows={2}>
        {({ items }) => <Reservations networkId={network.id} reserved={items} />}
      </Loaded>
      <Loaded of={given}>{({ items }) => <Holders peers={items} />}</Loaded>
    </>
  )
}
