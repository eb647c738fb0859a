// One peer: what it is, what is known of its host, and how it reaches others.
import { Alert, Code, Stack } from '@mantine/core'
import { IconBan } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type { PeerView } from '../../api/schema.gen'
import { Facts, Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Loaded } from '../../ui/Loaded'
import { Mark } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { texts } from '../../ui/texts'
import { bytes } from '../../ui/time'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { PeerActions } from './PeerActions'
import { PeerHistory } from './PeerHistory'
import { PeerIncidents } from './PeerIncidents'
import { PeerPaths } from './PeerPaths'
import { peer } from './queries'
import { LOOKS, stateOf } from './state'

const t = texts.peers

export function PeerPage() {
  const { peerId = '' } = useParams({ strict: false })
  const read = useQuery(peer(peerId))
  return (
    <Page title={read.data?.name ?? texts.pages.peers} actions={read.data && <PeerActions peer={read.data} />}>
      <Loaded of={read}>
        {(each) => (
          <Stack>
            {each.blocked && (
              <Alert color="red" icon={<IconBan aria-hidden />}>
                {t.blocked}
              </Alert>
            )}
            <Identity peer={each} />
            {each.kind !== 'static' && <Host peer={each} />}
            <PeerIncidents peerId={each.id} />
            <PeerPaths peerId={each.id} />
            <PeerHistory peerId={each.id} />
          </Stack>
        )}
      </Loaded>
    </Page>
  )
}

function Identity({ peer: each }: { peer: PeerView }) {
  const { state, prefix, expires_at: until } = each.enrollment
  const yes = (flag: boolean) => (flag ? t.yes : t.no)
  return (
    <Section title={t.identity} actions={<Mark look={LOOKS[stateOf(each)]} />}>
      <Facts
        facts={[
          [t.network, <To key="to" to="/networks/$networkId" params={{ networkId: each.network.id }}>{each.network.name}</To>],
          [t.kind, each.role ? `${t.kinds[each.kind]}, ${t.roles[each.role]}` : t.kinds[each.kind]],
          [t.addresses, each.addresses.join(', ')],
          [t.endpoint, each.endpoint],
          [t.endpointSeen, each.status.endpoint],
          [t.handshake, each.status.latest_handshake && <When key="handshake" at={each.status.latest_handshake} />],
          [t.traffic, `${bytes(each.status.rx)} / ${bytes(each.status.tx)}`],
          [t.key, each.public_key && <Code key="key">{each.public_key}</Code>],
          [t.keyChanged, each.key.changed_at && <When key="changed" at={each.key.changed_at} />],
          [t.keyAsked, each.key.asked_at && <When key="asked" at={each.key.asked_at} />],
          [t.token, prefix && (state === 'pending' || state === 'expired') && <>{`${prefix}…, `}<When at={until} /></>],
          [t.isolated, yes(each.isolated)],
          [t.full, yes(each.full_encapsulation)],
          [t.subnets, each.additional_allowed_ips.join(', ')],
          [t.owner, each.owner && <Foreign key="owner">{each.owner}</Foreign>],
          [t.groups, each.groups.join(', ')],
          [t.labels, Object.entries(each.labels).map(([key, value]) => <span key={key}><Foreign>{`${key}=${value}`}</Foreign> </span>)],
          [t.created, <When key="created" at={each.created_at} />],
        ]}
      />
    </Section>
  )
}

function Host({ peer: { status, session, enrollment, desired_revision: desired } }: { peer: PeerView }) {
  return (
    <Section title={t.host}>
      <Facts
        facts={[
          [t.connected, status.connected ? t.yes : t.no],
          [t.since, status.since && <When key="since" at={status.since} />],
          [t.lastSeen, status.last_seen && <When key="seen" at={status.last_seen} />],
          [t.applied, status.applied_revision],
          [t.desired, desired],
          [t.appliedError, status.applied_error && <Foreign key="error">{status.applied_error}</Foreign>],
          [t.hostname, status.hostname && <Foreign key="host">{status.hostname}</Foreign>],
          [t.agent, status.agent_version && <Foreign key="agent">{status.agent_version}</Foreign>],
          [t.session, session ? <When key="session" at={session.since} /> : enrollment.state === 'enrolled' && t.sessionEnded],
          [t.sessionRotated, session?.rotated_at && <When key="rotated" at={session.rotated_at} />],
        ]}
      />
    </Section>
  )
}
