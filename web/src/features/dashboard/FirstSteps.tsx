// From an empty backend to two hosts that reach each other: each step is checked off as it happens.
import { Button, Group, Text, ThemeIcon } from '@mantine/core'
import { IconCheck, IconCircle } from '@tabler/icons-react'
import type { NetworkView, PeerView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Mark } from '../../ui/Mark'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { CreateNetwork } from '../networks/CreateNetwork'
import { CreatePeer } from '../peers/CreatePeer'
import { LOOKS, stateOf } from '../peers/state'
import classes from './FirstSteps.module.css'
import { isDone, type Step } from './counts'

const t = texts.dashboard
const KINDS = { jump: 'jump', host: 'dynamic', phone: 'static' } as const

interface Props {
  network: NetworkView | undefined
  steps: Record<Exclude<Step, 'network'>, PeerView | undefined>
  /** The step whose dialog is open. */
  open: Step | null
  onOpen: (step: Step | null) => void
}

export function FirstSteps({ network, steps, open, onOpen }: Props) {
  const close = () => onOpen(null)
  const shown = (['jump', 'host', 'phone'] as const).map((step) => ({ step, peer: steps[step] }))
  const next = network === undefined ? 'network' : shown.find(({ peer }) => !isDone(peer))?.step
  return (
    <Section title={t.first}>
      <Text size="sm" c="dimmed" mb="md">
        {t.firstSays}
      </Text>
      <ol className={classes['steps']}>
        <Line title={t.steps.network} says={t.steps.networkSays} isDone={network !== undefined}>
          {network ? (
            <To to="/networks/$networkId" params={{ networkId: network.id }}>
              {network.name}
            </To>
          ) : (
            <Button onClick={() => onOpen('network')}>{texts.networks.create}</Button>
          )}
        </Line>
        {shown.map(({ step, peer }) => (
          <Line key={step} title={t.steps[step]} says={t.steps[`${step}Says`]} isDone={isDone(peer)}>
            {peer ? (
              <Begun peer={peer} />
            ) : (
              <Button variant={step === next ? 'filled' : 'default'} disabled={!network} onClick={() => onOpen(step)}>
                {texts.peers.create}
              </Button>
            )}
          </Line>
        ))}
      </ol>
      {open === 'network' && <CreateNetwork onClose={close} />}
      {open !== null && open !== 'network' && (
        <CreatePeer kind={KINDS[open]} onClose={close} {...(network ? { networkId: network.id } : {})} />
      )}
    </Section>
  )
}

function Begun({ peer }: { peer: PeerView }) {
  return (
    <Group gap="sm">
      <To to="/peers/$peerId" params={{ peerId: peer.id }}>
        {peer.name}
      </To>
      <Mark look={LOOKS[stateOf(peer)]} />
    </Group>
  )
}

interface LineProps {
  title: string
  says: string
  isDone: boolean
  children: React.ReactNode
}

function Line({ title, says, isDone: done, children }: LineProps) {
  return (
    <li className={classes['step']}>
      <ThemeIcon variant={done ? 'filled' : 'default'} radius="xl" aria-label={done ? t.done : t.next} role="img">
        {done ? <IconCheck size={16} aria-hidden /> : <IconCircle size={16} aria-hidden />}
      </ThemeIcon>
      <div className={classes['text']}>
        <Text fw={600}>{title}</Text>
        <Text size="sm">{says}</Text>
      </div>
      {children}
    </li>
  )
}
