// Peers of all networks: what the server finds, shown as far as somebody looks.
import { Button, Stack } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { CreatePeer } from './CreatePeer'
import { filtersIn, type Filters } from './filters'
import { ManyPeers } from './ManyPeers'
import { PeerFilters } from './PeerFilters'
import { PeerTable } from './PeerTable'
import { peers } from './queries'

const t = texts.peers

function after(before: ReadonlySet<string>, ids: readonly string[], isChosen: boolean): ReadonlySet<string> {
  const next = new Set(before)
  for (const id of ids) {
    if (isChosen) next.add(id)
    else next.delete(id)
  }
  return next
}

export function PeersPage() {
  const filters = filtersIn(useSearch({ strict: false }))
  const navigate = useNavigate()
  const [isOpen, form] = useDisclosure(false)
  const [wanted, setWanted] = useState<ReadonlySet<string>>(new Set())
  const choose = (ids: readonly string[], isChosen: boolean) => setWanted(after(wanted, ids, isChosen))
  const found = useInfiniteQuery(peers(filters))
  const narrow = (next: Filters) => void navigate({ to: '/peers', search: next, replace: true })
  return (
    <Page title={texts.pages.peers} actions={<Button onClick={form.open}>{t.create}</Button>}>
      <PeerFilters filters={filters} onChange={narrow} />
      <Loaded of={found} rows={8}>
        {({ pages }) => {
          const items = pages.flatMap((page) => page.items)
          if (items.length === 0) return <Empty>{Object.keys(filters).length === 0 ? t.none : t.noneFound}</Empty>
          // Who is gone, or not among those that are found any more, is not chosen either.
          const chosen = items.filter((each) => wanted.has(each.id))
          return (
            <Stack gap="xs">
              {chosen.length > 0 && <ManyPeers peers={chosen} onDone={() => setWanted(new Set())} />}
              <PeerTable
                peers={items}
                chosen={new Set(chosen.map((each) => each.id))}
                onChoose={choose}
                hasMore={found.hasNextPage}
                more={() => void (found.isFetching || found.fetchNextPage())}
              />
            </Stack>
          )
        }}
      </Loaded>
      {isOpen && <CreatePeer onClose={form.close} {...(filters.network ? { networkId: filters.network } : {})} />}
    </Page>
  )
}
