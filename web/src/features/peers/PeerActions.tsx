// What can be done with a peer. Each says beforehand what it cuts.
import { Button, Checkbox, Stack } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { notifications } from '@mantine/notifications'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import type { PeerView, RotationView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { texts } from '../../ui/texts'
import { ChangePeer } from './ChangePeer'
import { ConfigHandout, HandoutModal, TokenHandout } from './Handout'
import { useDeletePeer, useEndSession, useNewToken, useRegenerate, useRotateKey, useShowConfig } from './queries'

const t = texts.peers
const DAY = 86_400

export function PeerActions({ peer }: { peer: PeerView }) {
  const [isOpen, form] = useDisclosure(false)
  const remove = useDeletePeer(peer.id)
  const [isForced, setForced] = useState(false)
  const navigate = useNavigate()
  return (
    <>
      <Button variant="default" onClick={form.open}>
        {t.change}
      </Button>
      {peer.kind === 'static' ? <ConfigActions peer={peer} /> : <HostActions peer={peer} />}
      <Ask
        label={t.remove}
        title={`${t.remove} ${peer.name}`}
        move={remove}
        given={isForced}
        done={() => void navigate({ to: '/peers' })}
      >
        <Stack gap="sm">
          {t.removeSays}
          {peer.kind === 'jump' && <Forced label={t.removeForce} isForced={isForced} onChange={setForced} />}
        </Stack>
      </Ask>
      {isOpen && <ChangePeer peer={peer} onClose={form.close} />}
    </>
  )
}

function HostActions({ peer }: { peer: PeerView }) {
  const token = useNewToken(peer.id)
  const end = useEndSession(peer.id)
  return (
    <>
      {peer.enrollment.state === 'enrolled' && <Rotate peer={peer} />}
      <Ask label={t.newToken} title={t.newToken} move={token} given={DAY} isPlain>
        {t.newTokenSays}
      </Ask>
      {peer.session && (
        <Ask label={t.endSession} title={t.endSession} move={end} given={undefined}>
          {t.endSays}
        </Ask>
      )}
      {token.data && (
        <HandoutModal title={`${peer.name}: ${t.onceTitle}`} onClose={token.reset}>
          <TokenHandout issued={token.data} peerId={peer.id} />
        </HandoutModal>
      )}
    </>
  )
}

function Rotate({ peer }: { peer: PeerView }) {
  const rotate = useRotateKey(peer.id)
  const [isForced, setForced] = useState(false)
  const done = (asked: RotationView) => notifications.show({ title: t.rotated, message: says(asked) })
  return (
    <Ask label={t.rotate} title={t.rotate} move={rotate} given={isForced} done={done} isPlain>
      <Stack gap="sm">
        {t.rotateSays}
        {peer.kind === 'jump' && <Forced label={t.rotateForce} isForced={isForced} onChange={setForced} />}
      </Stack>
    </Ask>
  )
}

function says(asked: RotationView): string {
  const waits = asked.waits_for ? t.waits[asked.waits_for] : ''
  const reissue = asked.reissue.length > 0
    ? `${texts.networks.reissue}: ${asked.reissue.map((each) => each.name).join(', ')}`
    : ''
  return [waits, reissue].filter(Boolean).join(' ')
}

function ConfigActions({ peer }: { peer: PeerView }) {
  const regenerate = useRegenerate(peer.id)
  const show = useShowConfig(peer.id)
  return (
    <>
      <Ask label={t.showConfig} title={t.showConfig} move={show} given={undefined} isPlain>
        {t.configAgain}
      </Ask>
      <Ask label={t.regenerate} title={t.regenerate} move={regenerate} given={undefined}>
        {t.regenerateSays}
      </Ask>
      {show.data && (
        <HandoutModal title={peer.name} onClose={show.reset}>
          <ConfigHandout config={show.data} says={t.configAgain} />
        </HandoutModal>
      )}
      {regenerate.data && (
        <HandoutModal title={`${peer.name}: ${t.onceTitle}`} onClose={regenerate.reset}>
          <ConfigHandout config={regenerate.data} says={t.configOnce} />
        </HandoutModal>
      )}
    </>
  )
}

function Forced({ label, isForced, onChange }: { label: string; isForced: boolean; onChange: (next: boolean) => void }) {
  return <Checkbox label={label} checked={isForced} onChange={(event) => onChange(event.currentTarget.checked)} />
}
