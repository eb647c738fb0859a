// All networks of the backend.
import { Button, Table } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import type { NetworkView } from '../../api/schema.gen'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { To } from '../../ui/To'
import { CapacityBar } from './CapacityBar'
import { CreateNetwork } from './CreateNetwork'
import { networks } from './queries'

const t = texts.networks

export function NetworksPage() {
  const [isOpen, form] = useDisclosure(false)
  const create = <Button onClick={form.open}>{t.create}</Button>
  return (
    <Page title={texts.pages.networks} actions={create}>
      <Loaded of={useQuery(networks)}>
        {({ items }) => (items.length === 0 ? <Empty>{t.none}</Empty> : <NetworkTable networks={items} />)}
      </Loaded>
      {isOpen && <CreateNetwork onClose={form.close} />}
    </Page>
  )
}

function NetworkTable({ networks: items }: { networks: readonly NetworkView[] }) {
  return (
    <Table.ScrollContainer minWidth={900} scrollAreaProps={{ viewportProps: { tabIndex: 0 } }}>
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t.name}</Table.Th>
            <Table.Th>{t.v4}</Table.Th>
            <Table.Th>{t.v6}</Table.Th>
            <Table.Th>{t.used}</Table.Th>
            <Table.Th>{t.primary}</Table.Th>
            <Table.Th>{t.revision}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {items.map((each) => (
            <Table.Tr key={each.id}>
              <Table.Td>
                <To to="/networks/$networkId" params={{ networkId: each.id }} fw={600}>
                  {each.name}
                </To>
              </Table.Td>
              <Table.Td>{each.cidr_v4 ?? texts.states.nothing}</Table.Td>
              <Table.Td>{each.cidr_v6}</Table.Td>
              <Table.Td miw={160}>
                <CapacityBar of={each.capacity.v4 ?? each.capacity.v6} />
              </Table.Td>
              <Table.Td>{each.primary?.name ?? texts.states.nothing}</Table.Td>
              <Table.Td className="numbers">{count(each.revision)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}
