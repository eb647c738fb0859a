// One bridge: how both sides stand, the moves that are allowed now, and what is at work.
import { Alert, Button, Code, List, Stack } from '@mantine/core'
import { IconArrowsExchange } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { useState } from 'react'
import type { BridgeView } from '../../api/schema.gen'
import { AskReason } from '../../ui/AskReason'
import { Facts, Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { texts } from '../../ui/texts'
import { at, count } from '../../ui/time'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { AtWork } from './AtWork'
import { AcceptBridge, LetIn } from './forms'
import { bridge, useMove, type Cut } from './queries'
import { networksOf, notLetIn } from './state'
import { TwoSides } from './TwoSides'

const t = texts.bridges
const PLAIN: readonly string[] = ['resume', 'release']

export function BridgePage() {
  const { bridgeId = '' } = useParams({ strict: false })
  const read = useQuery(bridge(bridgeId))
  const named = read.data && networksOf(read.data)
  return (
    <Page title={named ? `${named.ours} – ${named.theirs}` : texts.pages.bridges} actions={read.data && <Moves of={read.data} />}>
      <Loaded of={read}>
        {(each) => (
          <Stack>
            <Verdict of={each} />
            <TwoSides of={each} />
            <Agreement of={each} />
            <AtWork id={each.id} />
          </Stack>
        )}
      </Loaded>
    </Page>
  )
}

function Verdict({ of: { effective, obstacles } }: { of: BridgeView }) {
  return (
    <Alert color={effective ? 'teal' : 'yellow'} icon={<IconArrowsExchange aria-hidden />} title={`${t.passes}: ${effective ? t.whatGrants : t.nothing}`}>
      {!effective && (
        <List size="sm" aria-label={t.obstacles}>
          {obstacles.map((each) => (
            <List.Item key={each}>{each}</List.Item>
          ))}
        </List>
      )}
    </Alert>
  )
}

function Agreement({ of: each }: { of: BridgeView }) {
  return (
    <Section title={t.between}>
      <Facts
        facts={[
          [t.remote, <To key="remote" to="/remotes/$domain" params={{ domain: each.remote }}>{each.remote}</To>],
          [
            t.network,
            each.network && (
              <To key="network" to="/networks/$networkId" params={{ networkId: each.network.id }}>
                {each.network.name ?? each.network.id}
              </To>
            ),
          ],
          [t.proposed, `${each.proposed_by === 'ours' ? t.byUs : t.byThem}, ${at(each.created_at)}`],
          [t.changed, <When key="changed" at={each.changed_at} />],
          [t.letIn, each.accepted.join(', ')],
          [t.notLetIn, notLetIn(each).join(', ')],
          [t.heldBy, each.holds.map((hold) => t.holds[hold]).join(', ')],
          [t.generation, count(each.generation)],
          ['Id', <Code key="id">{each.id}</Code>],
        ]}
      />
    </Section>
  )
}

function Moves({ of: each }: { of: BridgeView }) {
  const [open, setOpen] = useState<'accept' | 'let-in' | null>(null)
  const close = () => setOpen(null)
  const isJoined = each.state === 'active' || each.state === 'suspended'
  return (
    <>
      {each.moves.includes('accept') && <Button onClick={() => setOpen('accept')}>{t.moves.accept}</Button>}
      {isJoined && (
        <Button variant="default" onClick={() => setOpen('let-in')}>
          {t.acceptPrefixes}
        </Button>
      )}
      {each.moves.map((move) => move !== 'accept' && <CutOf key={move} of={each} move={move} />)}
      {open === 'accept' && <AcceptBridge of={each} onClose={close} />}
      {open === 'let-in' && <LetIn of={each} onClose={close} />}
    </>
  )
}

function CutOf({ of: each, move }: { of: BridgeView; move: Cut }) {
  return (
    <AskReason
      label={t.moves[move]}
      title={`${t.moves[move]}: ${each.remote}`}
      move={useMove(each, move)}
      isRequired={move === 'hold'}
      isPlain={PLAIN.includes(move)}
    >
      {t.says[move]}
    </AskReason>
  )
}
