// One network: its ranges, settings and what can be done with it.
import { Alert, Button, Checkbox, SimpleGrid, Stack } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import { useState } from 'react'
import type { NetworkView, PeerName } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Facts, Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { texts } from '../../ui/texts'
import { count, duration } from '../../ui/time'
import { ButtonTo, To } from '../../ui/To'
import { When } from '../../ui/When'
import { CapacityBar } from './CapacityBar'
import { ChangeNetwork } from './ChangeNetwork'
import { Ingress } from './Ingress'
import { network, useDeleteNetwork } from './queries'

const t = texts.networks

export function NetworkPage() {
  const { networkId = '' } = useParams({ strict: false })
  const read = useQuery(network(networkId))
  const [reissue, setReissue] = useState<readonly PeerName[]>([])
  return (
    <Page
      title={read.data?.name ?? texts.pages.networks}
      actions={read.data && <Actions network={read.data} onChanged={setReissue} />}
    >
      <Loaded of={read}>
        {(each) => (
          <Stack>
            {reissue.length > 0 && <Reissue peers={reissue} />}
            <Section title={t.addresses}>
              <SimpleGrid cols={{ base: 1, sm: 2 }}>
                <Facts facts={[[t.v4, each.cidr_v4]]} />
                <CapacityBar of={each.capacity.v4} />
                <Facts facts={[[t.v6, each.cidr_v6]]} />
                <CapacityBar of={each.capacity.v6} />
              </SimpleGrid>
            </Section>
            <SettingsOf network={each} />
            <Ingress networkId={each.id} />
          </Stack>
        )}
      </Loaded>
    </Page>
  )
}

function SettingsOf({ network: each }: { network: NetworkView }) {
  const limits = Object.entries(each.limits).map(([name, value]) => `${name} ${count(value)}`)
  return (
    <Section title={t.settings}>
      <Facts
        facts={[
          [t.domain, each.domain],
          [t.mtu, each.mtu],
          [t.port, each.listen_port],
          [t.keepalive, each.keepalive],
          [t.direct, each.direct_paths],
          [t.looked, each.has_direct_paths ? t.yes : t.no],
          [t.primary, each.primary && <To to="/peers/$peerId" params={{ peerId: each.primary.id }}>{each.primary.name}</To>],
          [t.keys, each.key_max_age === 0 ? t.never : duration(each.key_max_age)],
          [t.upstreams, each.dns_upstreams.join(', ')],
          [t.limits, limits.join(', ')],
          [t.revision, count(each.revision)],
          [t.created, <When key="created" at={each.created_at} />],
        ]}
      />
    </Section>
  )
}

function Actions({ network: each, onChanged }: { network: NetworkView; onChanged: (reissue: PeerName[]) => void }) {
  const [isOpen, form] = useDisclosure(false)
  const [isForced, setForced] = useState(false)
  const remove = useDeleteNetwork(each.id)
  const navigate = useNavigate()
  return (
    <>
      <ButtonTo variant="default" to="/peers" search={{ network: each.id }}>
        {texts.pages.peers}
      </ButtonTo>
      <Button variant="default" onClick={form.open}>
        {t.change}
      </Button>
      <Ask label={t.remove} title={`${t.remove} ${each.name}`} move={remove} given={isForced} done={() => void navigate({ to: '/networks' })}>
        <Stack gap="sm">
          {t.cuts}
          <Checkbox label={t.removePeers} checked={isForced} onChange={(event) => setForced(event.currentTarget.checked)} />
        </Stack>
      </Ask>
      {isOpen && <ChangeNetwork network={each} onClose={form.close} onDone={(changed) => onChanged(changed.reissue)} />}
    </>
  )
}

function Reissue({ peers }: { peers: readonly PeerName[] }) {
  return (
    <Alert color="yellow" title={t.reissue}>
      {peers.map((peer) => (
        <To key={peer.id} to="/peers/$peerId" params={{ peerId: peer.id }} mr="sm">
          {peer.name}
        </To>
      ))}
    </Alert>
  )
}
