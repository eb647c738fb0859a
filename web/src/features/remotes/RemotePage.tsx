// One remote: whether the two sides trust each other, what it may do, and what stands in the way.
import { Button, Code, Stack, Text, TextInput, Title } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import { useState, type SubmitEvent } from 'react'
import type { RemoteDetailsView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Facts, Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Loaded } from '../../ui/Loaded'
import { Mark } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { at, count } from '../../ui/time'
import { When } from '../../ui/When'
import { ChangeRemote } from './ChangeRemote'
import { Doctor } from './Doctor'
import { Instances, Revocations, Waiting } from './parts'
import { remote, useConfirm, useMove, useRemove } from './queries'
import { lookOf } from './standing'

const t = texts.remotes

export function RemotePage() {
  const { domain = '' } = useParams({ strict: false })
  const read = useQuery(remote(domain))
  return (
    <Page title={domain} actions={read.data && <Actions of={read.data} />}>
      <Loaded of={read}>
        {(each) => (
          <Stack>
            {each.state === 'pending' && !each.confirmed_here && <Confirm of={each} />}
            <Standing of={each} />
            <Doctor domain={domain} />
            <Instances of={each} />
            <Waiting of={each} />
            <Revocations of={each} />
          </Stack>
        )}
      </Loaded>
    </Page>
  )
}

function Confirm({ of: { domain, short_code: code, accepting_until: until } }: { of: RemoteDetailsView }) {
  const confirm = useConfirm(domain)
  const [typed, setTyped] = useState('')
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    confirm.mutate(typed.trim())
  }
  return (
    <Section title={t.code}>
      <form onSubmit={submit}>
        <Stack maw={560}>
          <Title order={3} className="numbers">
            {code}
          </Title>
          <Text size="sm">{t.codeSays}</Text>
          {until && <Failed error={{ title: t.notTold, message: `${t.until} ${at(until)}. ${t.askDoctor}` }} />}
          <TextInput label={t.codeThere} required value={typed} onChange={(event) => setTyped(event.currentTarget.value)} />
          {confirm.error && <Failed error={confirm.error} />}
          <div>
            <Button type="submit" loading={confirm.isPending}>
              {t.confirm}
            </Button>
          </div>
        </Stack>
      </form>
    </Section>
  )
}

const yes = (is: boolean) => (is ? t.yes : t.no)

function Standing({ of: each }: { of: RemoteDetailsView }) {
  const { limits } = each
  return (
    <Section title={t.state} actions={<Mark look={lookOf(each)} />}>
      <Facts
        facts={[
          [t.changed, <When key="changed" at={each.changed_at} />],
          [t.code, each.short_code],
          [
            t.confirmed,
            each.trust === 'shared' ? t.vouched : `${t.here}: ${yes(each.confirmed_here)}, ${t.there}: ${yes(each.confirmed_there)}`,
          ],
          [t.trust, t.trusts[each.trust]],
          [t.until, each.accepting_until && at(each.accepting_until)],
          [t.direction, t.directions[each.direction]],
          [t.components, each.components === null ? t.all : each.components.join(', ')],
          [t.infra, each.infra_domains.join(', ')],
          [t.bundle, each.bundle_digest && <Code key="bundle">{`${each.bundle_sequence}, ${each.bundle_digest.slice(0, 16)}`}</Code>],
          [t.requests, `${count(limits.requests)} ${t.perSecond}, ${count(limits.requests_burst)} ${t.atOnce}, ${count(limits.parallel)} ${t.parallel}`],
          [t.mutations, `${count(limits.mutations)} ${t.perSecond}, ${count(limits.mutations_burst)} ${t.atOnce}`],
          [t.expires, each.expires_at ? at(each.expires_at) : t.never],
          [t.dnssec, yes(each.needs_dnssec)],
          [t.tlsa, yes(each.needs_tlsa)],
          [t.known, yes(each.known_instances_only)],
          [t.wan, yes(each.wan_permitted)],
          [t.contact, each.contact && <Foreign key="contact">{each.contact}</Foreign>],
          [t.notes, each.notes && <Foreign key="notes">{each.notes}</Foreign>],
          [t.entry, each.earlier.length === 0 ? count(each.generation) : `${each.generation}, ${each.earlier.length} ${t.earlier}`],
        ]}
      />
    </Section>
  )
}

function Actions({ of: each }: { of: RemoteDetailsView }) {
  const { domain, state } = each
  const [isOpen, form] = useDisclosure(false)
  const [suspend, resume, revoke] = [useMove(domain, 'suspend'), useMove(domain, 'resume'), useMove(domain, 'revoke')]
  const remove = useRemove(domain)
  const navigate = useNavigate()
  return (
    <>
      <Button variant="default" onClick={form.open}>
        {t.change}
      </Button>
      {state === 'active' && (
        <Ask label={t.suspend} title={`${t.suspend}: ${domain}`} move={suspend} given={undefined}>
          {t.suspendSays}
        </Ask>
      )}
      {state === 'suspended' && (
        <Ask label={t.resume} title={`${t.resume}: ${domain}`} move={resume} given={undefined} isPlain>
          {t.resumeSays}
        </Ask>
      )}
      {state !== 'revoked' && (
        <Ask label={t.revoke} title={`${t.revoke}: ${domain}`} move={revoke} given={undefined}>
          {t.revokeSays}
        </Ask>
      )}
      <Ask label={t.remove} title={`${t.remove}: ${domain}`} move={remove} given={undefined} done={() => void navigate({ to: '/remotes' })}>
        {t.removeSays}
      </Ask>
      {isOpen && <ChangeRemote of={each} onClose={form.close} />}
    </>
  )
}
