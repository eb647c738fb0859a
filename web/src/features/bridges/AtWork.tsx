// A bridge at work: its gateway and tunnel as last reported, and every way that is open with the grant behind it.
import { Code, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { BridgeRuleView, BridgeStatusView } from '../../api/schema.gen'
import { Facts, Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Loaded } from '../../ui/Loaded'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { bytes, count, isPast } from '../../ui/time'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { status } from './queries'

const t = texts.bridges

export function AtWork({ id }: { id: string }) {
  return (
    <Section title={t.status}>
      <Loaded of={useQuery(status(id))}>
        {(each) => (
          <Stack>
            <Tunnel of={each} />
            <Text fw={600} size="sm">
              {t.rules}
            </Text>
            {each.rules.length === 0 ? <Text size="sm">{t.noRules}</Text> : <Rules rules={each.rules} />}
          </Stack>
        )}
      </Loaded>
    </Section>
  )
}

function tunnelOf({ effective, tunnel }: BridgeStatusView): string {
  if (!effective) return t.tunnels.closed
  if (tunnel === null) return t.tunnels.unknown
  return tunnel.up ? t.tunnels.up : t.tunnels.down
}

function Tunnel({ of: each }: { of: BridgeStatusView }) {
  const { tunnel, gateway } = each
  const isOver = each.lease_until !== null && isPast(each.lease_until)
  return (
    <Facts
      facts={[
        [t.tunnel, tunnelOf(each)],
        [t.gateway, gateway ? <Gateway key="gateway" of={gateway} /> : t.gatewayNone],
        [t.endpoint, tunnel?.endpoint],
        [t.handshake, tunnel && (tunnel.latest_handshake ? <When key="handshake" at={tunnel.latest_handshake} /> : t.never)],
        [t.traffic, tunnel && `${bytes(tunnel.rx)} / ${bytes(tunnel.tx)}`],
        [t.lease, each.effective && each.lease_until && (isOver ? t.leaseOver : <When key="lease" at={each.lease_until} />)],
        [t.barred, each.barred.join(', ')],
      ]}
    />
  )
}

function Gateway({ of: { peer, connected, applied_revision: applied, desired_revision: desired, error } }: { of: NonNullable<BridgeStatusView['gateway']> }) {
  const due = applied === desired ? '' : `, ${t.due} ${desired}`
  return (
    <>
      <To to="/peers/$peerId" params={{ peerId: peer.id }}>
        {peer.name}
      </To>
      {`, ${connected ? t.connected : t.notConnected}, ${t.revision} ${applied ?? texts.states.nothing}${due}`}
      {error && (
        <>
          {', '}
          <Foreign>{error}</Foreign>
        </>
      )}
    </>
  )
}

const host = (address: string) => (address.includes(':') ? `[${address}]` : address)

function Rules({ rules }: { rules: readonly BridgeRuleView[] }) {
  const rows = rules.map((each, index) => ({
    key: `${each.direction} ${each.destination} ${each.grant?.id ?? ''} ${index}`,
    cells: [
      each.direction,
      each.sources.join(', '),
      `${host(each.destination)}:${each.ports.join(',')}/${each.protocol}`,
      each.grant ? each.service && <Foreign key="service">{each.service}</Foreign> : t.ingressRule,
      each.grant && (each.grant.given === 'here' ? <Given key="grant" id={each.grant.id} /> : <Code key="grant">{each.grant.id}</Code>),
      each.grant && <Foreign key="subject">{each.grant.subject}</Foreign>,
      each.grant && <When key="ends" at={each.grant.expires_at} />,
      count(each.packets),
      bytes(each.bytes),
      each.last_seen && <When key="last" at={each.last_seen} />,
    ],
  }))
  const heads = [t.way, t.from, t.to, t.service, t.grant, texts.grants.subject, t.ends, t.packets, t.bytes, t.last]
  return <Rows label={t.rules} heads={heads} rows={rows} minWidth={1000} />
}

function Given({ id }: { id: string }) {
  return (
    <To to="/grants/$grantId" params={{ grantId: id }} size="xs" ff="monospace">
      {id}
    </To>
  )
}
