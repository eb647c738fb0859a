// Peers of all networks: what the server finds, shown as far as somebody looks.
import { Button } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { CreatePeer } from './CreatePeer'
import { filtersIn, type Filters } from './filters'
import { PeerFilters } from './PeerFilters'
import { PeerTable } from './PeerTable'
import { peers } from './queries'

const t = texts.peers

export function PeersPage() {
  const filters = filtersIn(useSearch({ strict: false }))
  const navigate = useNavigate()
  const [isOpen, form] = useDisclosure(false)
  const found = useInfiniteQuery(peers(filters))
  const narrow = (next: Filters) => void navigate({ to: '/peers', search: next, replace: true })
  return (
    <Page title={texts.pages.peers} actions={<Button onClick={form.open}>{t.create}</Button>}>
      <PeerFilters filters={filters} onChange={narrow} />
      <Loaded of={found} rows={8}>
        {({ pages }) => {
          const items = pages.flatMap((page) => page.items)
          if (items.length === 0) return <Empty>{Object.keys(filters).length === 0 ? t.none : t.noneFound}</Empty>
          return (
            <PeerTable
              peers={items}
              hasMore={found.hasNextPage}
              more={() => void (found.isFetching || found.fetchNextPage())}
            />
          )
        }}
      </Loaded>
      {isOpen && <CreatePeer onClose={form.close} {...(filters.network ? { networkId: filters.network } : {})} />}
    </Page>
  )
}
