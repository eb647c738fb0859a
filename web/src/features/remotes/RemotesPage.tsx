// All remotes, how the two sides stand, and the invitations that are under way.
import { Button, Group, Stack } from '@mantine/core'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { InvitationView, RemoteView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Loaded } from '../../ui/Loaded'
import { Mark } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { at } from '../../ui/time'
import { ButtonTo, To } from '../../ui/To'
import { When } from '../../ui/When'
import { federation } from '../federation/queries'
import { Accept, AddShared, Invite } from './joining'
import { invitations, remotes, useWithdraw } from './queries'
import { lookOf } from './standing'

const t = texts.remotes

export function RemotesPage() {
  const own = useQuery(federation)
  return (
    <Page title={texts.pages.remotes} actions={own.data && <Actions />}>
      <Loaded of={own}>
        {(facts) =>
          facts === null ? (
            <Empty action={<ButtonTo to="/backend">{texts.federation.setUp}</ButtonTo>}>{texts.federation.none}</Empty>
          ) : (
            <Stack>
              <All />
              <Invitations />
            </Stack>
          )
        }
      </Loaded>
    </Page>
  )
}

function Actions() {
  const [open, setOpen] = useState<'invite' | 'accept' | 'add' | null>(null)
  const close = () => setOpen(null)
  return (
    <Group gap="sm">
      <Button onClick={() => setOpen('invite')}>{t.invite}</Button>
      <Button variant="default" onClick={() => setOpen('accept')}>
        {t.accept}
      </Button>
      <Button variant="default" onClick={() => setOpen('add')}>
        {t.add}
      </Button>
      {open === 'invite' && <Invite onClose={close} />}
      {open === 'accept' && <Accept onClose={close} />}
      {open === 'add' && <AddShared onClose={close} />}
    </Group>
  )
}

function All() {
  return (
    <Listed of={useInfiniteQuery(remotes)} none={t.none}>
      {(items) => <RemoteTable remotes={items} />}
    </Listed>
  )
}

function RemoteTable({ remotes: items }: { remotes: readonly RemoteView[] }) {
  const rows = items.map((each) => ({
    key: each.domain,
    cells: [
      <To key="domain" to="/remotes/$domain" params={{ domain: each.domain }} fw={600}>
        {each.domain}
      </To>,
      <Mark key="state" look={lookOf(each)} />,
      t.directions[each.direction],
      each.components === null ? t.all : each.components.join(', '),
      each.infra_domains.join(', '),
      <When key="changed" at={each.changed_at} />,
    ],
  }))
  return <Rows label={texts.pages.remotes} heads={[t.domain, t.state, t.direction, t.components, t.infra, t.changed]} rows={rows} minWidth={760} />
}

function Invitations() {
  return (
    <Section title={t.invitations}>
      <Listed of={useInfiniteQuery(invitations)} none={t.noInvitations}>
        {(items) => (
          <Rows
            label={t.invitations}
            heads={[t.domain, t.state, t.by, t.ends, t.withdraw]}
            rows={items.map((each) => ({
              key: each.id,
              cells: [
                each.domain,
                t.invitationStates[each.state],
                <Foreign key="by">{each.created_by}</Foreign>,
                at(each.expires_at),
                each.state === 'open' && <Withdraw key="withdraw" of={each} />,
              ],
            }))}
          />
        )}
      </Listed>
    </Section>
  )
}

function Withdraw({ of: { id, domain } }: { of: InvitationView }) {
  return (
    <Ask label={t.withdraw} title={`${t.withdraw}: ${domain}`} move={useWithdraw()} given={id}>
      {t.withdrawSays}
    </Ask>
  )
}
