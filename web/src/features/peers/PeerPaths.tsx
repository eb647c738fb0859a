// How a peer reaches each other one.
import { Table, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { PathView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { texts } from '../../ui/texts'
import { bytes, milliseconds } from '../../ui/time'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { paths } from './queries'

const t = texts.peers
const none = texts.states.nothing

const wayOf = (path: PathView): string => (path.direct ? t.direct : path.via ? `${t.via} ${path.via}` : t.states.unknown)

export function PeerPaths({ peerId }: { peerId: string }) {
  return (
    <Section title={t.paths}>
      <Loaded of={useQuery(paths(peerId))} rows={3}>
        {({ items }) => (items.length === 0 ? <Text size="sm">{t.noPaths}</Text> : <PathTable paths={items} />)}
      </Loaded>
    </Section>
  )
}

function PathTable({ paths: items }: { paths: readonly PathView[] }) {
  return (
    <Table.ScrollContainer minWidth={680} mah={420} scrollAreaProps={{ viewportProps: { tabIndex: 0 } }}>
      <Table className="numbers">
        <Table.Thead>
          <Table.Tr>
            {[t.name, t.way, t.since, t.roundTrip, t.received, t.sent, t.handshake].map((each) => (
              <Table.Th key={each}>{each}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {items.map((each) => (
            <Table.Tr key={each.other.id}>
              <Table.Td>
                <To to="/peers/$peerId" params={{ peerId: each.other.id }}>
                  {each.other.name}
                </To>
              </Table.Td>
              <Table.Td>{wayOf(each)}</Table.Td>
              <Table.Td>
                <When at={each.since} />
              </Table.Td>
              <Table.Td>{each.round_trip_us === null ? none : milliseconds(each.round_trip_us)}</Table.Td>
              <Table.Td>{each.rx === null ? none : bytes(each.rx)}</Table.Td>
              <Table.Td>{each.tx === null ? none : bytes(each.tx)}</Table.Td>
              <Table.Td>
                <When at={each.latest_handshake} />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}
