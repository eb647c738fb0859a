// One grant: what it allows, its tokens, and why a call passes or does not.
import { Button, Code, NumberInput, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { useState } from 'react'
import type { GrantDetailsView, IssuedGrantView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { AskReason } from '../../ui/AskReason'
import { Facts, Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Loaded } from '../../ui/Loaded'
import { Mark } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { at } from '../../ui/time'
import { To } from '../../ui/To'
import { Explain } from './Explain'
import { ChangeGrant } from './GrantEditor'
import { lookOf } from './GrantsPage'
import { useNames } from './names'
import { grant, useDropToken, useRevoke, useRotate } from './queries'
import { TokenOnce } from './TokenOnce'
import { AXES, axisText, resourceOf, sentence } from './words'

const t = texts.grants
const MINUTE = 60

export function GrantPage() {
  const { grantId = '' } = useParams({ strict: false })
  const read = useQuery(grant(grantId))
  return (
    <Page title={read.data ? `${t.details}: ${read.data.subject}` : texts.pages.grants} actions={read.data && <Actions of={read.data} />}>
      <Loaded of={read}>
        {(each) => (
          <Stack>
            <Details of={each} />
            <Tokens of={each} />
            <Explain of={each} />
          </Stack>
        )}
      </Loaded>
    </Page>
  )
}

function Details({ of: each }: { of: GrantDetailsView }) {
  const names = useNames()
  return (
    <Section title={t.details} actions={<Mark look={lookOf(each.state)} />}>
      <Text mb="sm">{sentence(each, names)}</Text>
      <Facts
        facts={[
          [t.subject, <Foreign key="subject">{each.subject}</Foreign>],
          [t.remote, <To key="remote" to="/remotes/$domain" params={{ domain: each.remote }}>{each.remote}</To>],
          [t.resource, resourceOf(each, names)],
          [t.scopes, each.scopes.join(', ')],
          ...AXES.map((axis) => [t.axes[axis], axisText(each[axis], names)] as const),
          [t.grantor, each.grantor],
          [t.issued, at(each.issued_at)],
          [t.expires, at(each.expires_at)],
          [t.lastUsed, each.last_used_at ? at(each.last_used_at) : t.never],
          [t.disclose, t.discloses[each.disclose]],
          [t.note, each.note && <Foreign key="note">{each.note}</Foreign>],
          [t.revoked, each.revoked_at && `${at(each.revoked_at)} ${t.by} ${each.revoked_by}: ${each.revoked_reason}`],
          ['Id', <Code key="id">{each.id}</Code>],
        ]}
      />
    </Section>
  )
}

function Tokens({ of: { id, tokens } }: { of: GrantDetailsView }) {
  const drop = useDropToken(id)
  return (
    <Section title={t.tokens}>
      {tokens.length === 0 ? (
        <Text size="sm">{t.noTokens}</Text>
      ) : (
        <Rows
          label={t.tokens}
          heads={[t.token, t.made, t.expires, t.drop]}
          rows={tokens.map((each) => ({
            key: each.public_id,
            cells: [
              <Code key="id">{each.public_id}</Code>,
              at(each.created_at),
              each.expires_at && at(each.expires_at),
              <Ask key="drop" label={t.drop} title={`${t.drop}: ${each.public_id}`} move={drop} given={each.public_id}>
                {t.dropSays}
              </Ask>,
            ],
          }))}
        />
      )}
    </Section>
  )
}

function Actions({ of: each }: { of: GrantDetailsView }) {
  const [isOpen, form] = useDisclosure(false)
  const [minutes, setMinutes] = useState<number | string>(0)
  const [made, setMade] = useState<IssuedGrantView | null>(null)
  const rotate = useRotate(each.id)
  const revoke = useRevoke(each.id)
  if (each.state !== 'live') return null
  return (
    <>
      <Button variant="default" onClick={form.open}>
        {t.change}
      </Button>
      <Ask label={t.rotate} title={t.rotate} move={rotate} given={Number(minutes) * MINUTE} done={setMade} isPlain>
        <Stack gap="sm">
          {t.rotateSays}
          <NumberInput label={t.overlap} min={0} value={minutes} onChange={setMinutes} />
        </Stack>
      </Ask>
      <AskReason label={t.revoke} title={`${t.revoke}: ${each.subject}`} move={revoke} isRequired>
        {t.revokeSays}
      </AskReason>
      {isOpen && <ChangeGrant of={each} onClose={form.close} />}
      {made && <TokenOnce of={made} onClose={() => setMade(null)} />}
    </>
  )
}
