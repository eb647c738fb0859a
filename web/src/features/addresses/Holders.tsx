// Who has what, since when: the peers of a network in the order of their addresses.
import { Text, TextInput } from '@mantine/core'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useMemo, useRef, useState } from 'react'
import type { PeerView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import classes from './Holders.module.css'
import { numberOf } from './ranges'

const t = texts.addresses
const ROW = 36
const BEYOND = 10

export function Holders({ peers }: { peers: readonly PeerView[] }) {
  const [search, setSearch] = useState('')
  const found = useMemo(() => inOrder(peers, search.trim().toLowerCase()), [peers, search])
  return (
    <Section
      title={t.who}
      actions={
        <TextInput
          aria-label={texts.peers.search}
          placeholder={texts.peers.search}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
      }
    >
      {found.length === 0 ? <Text size="sm">{t.noPeers}</Text> : <Rows peers={found} />}
    </Section>
  )
}

function inOrder(peers: readonly PeerView[], search: string): PeerView[] {
  const placeOf = (peer: PeerView) => numberOf(peer.addresses[0] ?? '')
  return peers
    .filter((each) => each.name.includes(search) || each.addresses.some((address) => address.includes(search)))
    .sort((a, b) => placeOf(a) - placeOf(b))
}

function Rows({ peers }: { peers: readonly PeerView[] }) {
  const frame = useRef<HTMLDivElement>(null)
  // eslint-disable-next-line react-hooks/incompatible-library -- nothing here is memoized by a compiler
  const rows = useVirtualizer({
    count: peers.length,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW,
    overscan: BEYOND,
  })
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard
    <div ref={frame} className={classes['frame']} tabIndex={0} role="region" aria-label={t.who}>
      <div role="table" aria-label={t.who} aria-rowcount={peers.length + 1}>
        <div role="row" className={`${classes['row']} ${classes['head']}`}>
          {[t.address, t.holder, t.since].map((each) => (
            <div key={each} role="columnheader">
              {each}
            </div>
          ))}
        </div>
        <div role="rowgroup" style={{ height: rows.getTotalSize(), position: 'relative' }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const peer = peers[index]
            return peer && <Row key={peer.id} peer={peer} index={index} start={start} />
          })}
        </div>
      </div>
    </div>
  )
}

function Row({ peer, index, start }: { peer: PeerView; index: number; start: number }) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={classes['row']}
      style={{ position: 'absolute', width: '100%', height: ROW, transform: `translateY(${start}px)` }}
    >
      <div role="cell">{peer.addresses.join(', ')}</div>
      <div role="cell">
        <To to="/peers/$peerId" params={{ peerId: peer.id }}>
          {peer.name}
        </To>
      </div>
      <div role="cell">
        <When at={peer.created_at} />
      </div>
    </div>
  )
}
