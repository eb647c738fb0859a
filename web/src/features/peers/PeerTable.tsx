// Thousands of peers in one table: only the rows in view are in the document.
import { Checkbox, Text } from '@mantine/core'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useRef } from 'react'
import type { PeerView } from '../../api/schema.gen'
import { Mark } from '../../ui/Mark'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import classes from './PeerTable.module.css'
import { endpointOf, LOOKS, revisionOf, stateOf } from './state'

const t = texts.peers
const ROW = 44
const BEYOND = 12
const COLUMNS = [t.name, t.state, t.kind, t.network, t.addresses, t.endpoint, t.handshake, t.revision]

interface Props {
  peers: readonly PeerView[]
  hasMore: boolean
  more: () => void
  chosen: ReadonlySet<string>
  onChoose: (ids: readonly string[], isChosen: boolean) => void
}

export function PeerTable({ peers, hasMore, more, chosen, onChoose }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  // eslint-disable-next-line react-hooks/incompatible-library -- nothing here is memoized by a compiler
  const rows = useVirtualizer({
    count: peers.length,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW,
    overscan: BEYOND,
  })
  const shown = rows.getVirtualItems()
  const isNearEnd = (shown.at(-1)?.index ?? 0) >= peers.length - 1
  useEffect(() => {
    if (isNearEnd && hasMore) more()
  }, [isNearEnd, hasMore, more])
  return (
    <div>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
      <div ref={frame} className={classes['frame']} tabIndex={0} role="region" aria-label={texts.pages.peers}>
        <div role="table" aria-label={texts.pages.peers} aria-rowcount={hasMore ? -1 : peers.length + 1}>
          <div role="row" className={`${classes['row']} ${classes['head']}`}>
            <div role="columnheader">
              <Checkbox
                size="xs"
                aria-label={t.chooseAll}
                checked={chosen.size > 0 && chosen.size === peers.length}
                indeterminate={chosen.size > 0 && chosen.size < peers.length}
                onChange={(event) => onChoose(peers.map((each) => each.id), event.currentTarget.checked)}
              />
            </div>
            {COLUMNS.map((each) => (
              <div key={each} role="columnheader">
                {each}
              </div>
            ))}
          </div>
          <div role="rowgroup" style={{ height: rows.getTotalSize(), position: 'relative' }}>
            {shown.map(({ index, start }) => {
              const peer = peers[index]
              return (
                peer && (
                  <Row
                    key={peer.id}
                    peer={peer}
                    index={index}
                    start={start}
                    isChosen={chosen.has(peer.id)}
                    onChoose={(isChosen) => onChoose([peer.id], isChosen)}
                  />
                )
              )
            })}
          </div>
        </div>
      </div>
      <Text size="xs" c="dimmed" mt={4} role="status">
        {`${count(peers.length)} ${t.shown}${hasMore ? `, ${t.andMore}` : ''}`}
      </Text>
    </div>
  )
}

interface RowProps {
  peer: PeerView
  index: number
  start: number
  isChosen: boolean
  onChoose: (isChosen: boolean) => void
}

function Row({ peer, index, start, isChosen, onChoose }: RowProps) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={classes['row']}
      style={{ position: 'absolute', height: ROW, width: '100%', transform: `translateY(${start}px)` }}
    >
      <div role="cell">
        <Checkbox
          size="xs"
          aria-label={`${t.choose} ${peer.name}`}
          checked={isChosen}
          onChange={(event) => onChoose(event.currentTarget.checked)}
        />
      </div>
      <div role="cell">
        <To to="/peers/$peerId" params={{ peerId: peer.id }} fw={600}>
          {peer.name}
        </To>
      </div>
      <div role="cell">
        <Mark look={LOOKS[stateOf(peer)]} />
      </div>
      <div role="cell">{peer.role ? `${t.kinds[peer.kind]}, ${t.roles[peer.role]}` : t.kinds[peer.kind]}</div>
      <div role="cell">{peer.network.name}</div>
      <div role="cell">{peer.addresses[0]}</div>
      <div role="cell">{endpointOf(peer)}</div>
      <div role="cell">
        <When at={peer.status.latest_handshake} />
      </div>
      <div role="cell">{revisionOf(peer)}</div>
    </div>
  )
}
