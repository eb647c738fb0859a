// Addresses and ports of our networks that can be granted.
import { Button, Group } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import type { ServiceView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { networks } from '../networks/queries'
import { ChangeService, CreateService } from './forms'
import { services, useDeleteService } from './queries'

const t = texts.services

export function ServicesPage() {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Page title={texts.pages.services} actions={<Button onClick={form.open}>{t.create}</Button>}>
      <Listed of={useInfiniteQuery(services)} none={t.none}>
        {(items) => <ServiceTable services={items} />}
      </Listed>
      {isOpen && <CreateService onClose={form.close} />}
    </Page>
  )
}

function ServiceTable({ services: items }: { services: readonly ServiceView[] }) {
  const known = useQuery(networks).data?.items ?? []
  const nameOf = (id: string) => known.find((each) => each.id === id)?.name ?? id
  const rows = items.map((each) => ({
    key: each.id,
    cells: [
      each.name,
      <To key="network" to="/networks/$networkId" params={{ networkId: each.network_id }}>
        {nameOf(each.network_id)}
      </To>,
      each.address,
      `${each.ports.join(', ')} ${each.protocol}`,
      each.note && <Foreign key="note">{each.note}</Foreign>,
      <Actions key="actions" of={each} />,
    ],
  }))
  return <Rows label={texts.pages.services} heads={[t.name, t.network, t.address, t.ports, t.note, texts.actions.change]} rows={rows} minWidth={760} />
}

function Actions({ of: service }: { of: ServiceView }) {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Group gap="xs" wrap="nowrap">
      <Button variant="default" onClick={form.open}>
        {texts.actions.change}
      </Button>
      <Ask label={t.remove} title={`${t.remove}: ${service.name}`} move={useDeleteService(service.id)} given={undefined}>
        {t.removeSays}
      </Ask>
      {isOpen && <ChangeService of={service} onClose={form.close} />}
    </Group>
  )
}
