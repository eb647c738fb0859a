// Grants: what somebody of a remote may do here, and what remotes let ours do.
import { Button, SegmentedControl, Stack } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { IconBan, IconCircleCheck, IconClockOff } from '@tabler/icons-react'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { GrantView, HeldGrantView } from '../../api/schema.gen'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Mark, type Look } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { CreateGrant } from './GrantEditor'
import { useNames } from './names'
import { grants, held } from './queries'
import { AXES, resourceOf } from './words'

const t = texts.grants
const VIEWS = [
  { value: 'given', label: t.given },
  { value: 'held', label: t.held },
] as const

export function GrantsPage() {
  const [view, setView] = useState<(typeof VIEWS)[number]['value']>('given')
  const [isOpen, form] = useDisclosure(false)
  return (
    <Page title={texts.pages.grants} actions={<Button onClick={form.open}>{t.create}</Button>}>
      <Stack align="flex-start">
        <SegmentedControl aria-label={t.show} data={[...VIEWS]} value={view} onChange={setView} />
      </Stack>
      {view === 'given' ? <Given /> : <Held />}
      {isOpen && <CreateGrant onClose={form.close} />}
    </Page>
  )
}

export function lookOf(state: GrantView['state'] | HeldGrantView['state']): Look {
  const label = t.states[state]
  if (state === 'live') return { color: 'teal', icon: IconCircleCheck, label }
  return state === 'expired' ? { color: 'gray', icon: IconClockOff, label } : { color: 'red', icon: IconBan, label }
}

const restricted = (of: GrantView) => AXES.filter((axis) => of[axis].mode === 'list').map((axis) => t.axes[axis])

function Given() {
  const names = useNames()
  return (
    <Listed of={useInfiniteQuery(grants)} none={t.none}>
      {(items) => (
        <Rows
          label={t.given}
          heads={[t.subject, t.resource, t.scopes, t.restricted, t.state, t.expires]}
          minWidth={820}
          rows={items.map((each) => ({
            key: each.id,
            cells: [
              <To key="subject" to="/grants/$grantId" params={{ grantId: each.id }} fw={600}>
                <Foreign>{each.subject}</Foreign>
              </To>,
              resourceOf(each, names),
              each.scopes.join(', '),
              restricted(each).join(', ') || t.nothing,
              <Mark key="state" look={lookOf(each.state)} />,
              <When key="expires" at={each.expires_at} />,
            ],
          }))}
        />
      )}
    </Listed>
  )
}

function Held() {
  return (
    <Listed of={useInfiniteQuery(held)} none={t.noneHeld}>
      {(items) => (
        <Rows
          label={t.held}
          heads={[t.remote, t.subject, t.resource, t.scopes, t.services, t.state, t.expires]}
          minWidth={960}
          rows={items.map((each) => ({
            key: `${each.remote} ${each.id}`,
            cells: [
              <To key="remote" to="/remotes/$domain" params={{ domain: each.remote }}>
                {each.remote}
              </To>,
              each.subject,
              <Foreign key="resource">{resourceOf(each)}</Foreign>,
              each.scopes.join(', '),
              each.services.map((offered) => (
                <div key={offered.name}>
                  <Foreign>{`${offered.name} ${offered.protocol} ${offered.address} ${offered.ports.join(', ')}`}</Foreign>
                </div>
              )),
              <Mark key="state" look={lookOf(each.state)} />,
              <When key="expires" at={each.expires_at} />,
            ],
          }))}
        />
      )}
    </Listed>
  )
}
