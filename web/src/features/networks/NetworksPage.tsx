// All networks of the backend.
import { Table } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { networks } from './queries'

export function NetworksPage() {
  return (
    <Page title={texts.pages.networks}>
      <Loaded of={useQuery(networks)}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>{texts.states.empty}</Empty>
          ) : (
            <Table>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Name</Table.Th>
                  <Table.Th>IPv4</Table.Th>
                  <Table.Th>IPv6</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {items.map((network) => (
                  <Table.Tr key={network.id}>
                    <Table.Td>{network.name}</Table.Td>
                    <Table.Td>{network.cidr_v4}</Table.Td>
                    <Table.Td>{network.cidr_v6}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )
        }
      </Loaded>
    </Page>
  )
}
