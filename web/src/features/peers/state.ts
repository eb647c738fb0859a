// The one word about a peer that matters most, and how it looks.
import {
  IconAlertTriangle,
  IconBan,
  IconCircleCheck,
  IconCircleDashed,
  IconClockPause,
  IconHourglass,
  IconHourglassOff,
  IconPlugOff,
} from '@tabler/icons-react'
import type { PeerView } from '../../api/schema.gen'
import type { Look } from '../../ui/Mark'
import { texts } from '../../ui/texts'

const t = texts.peers.states
export type PeerState = keyof typeof t

/** What is broken before what is missing before what is fine, as the CLI says it. */
export function stateOf(peer: Pick<PeerView, 'blocked' | 'status' | 'enrollment'>): PeerState {
  if (peer.blocked) return 'blocked'
  if (peer.status.applied_error) return 'failed'
  const { state } = peer.enrollment
  return state === 'pending' || state === 'expired' ? state : peer.status.state
}

export const LOOKS: Record<PeerState, Look> = {
  online: { color: 'teal', icon: IconCircleCheck, label: t.online },
  stale: { color: 'yellow', icon: IconClockPause, label: t.stale },
  offline: { color: 'gray', icon: IconPlugOff, label: t.offline },
  unknown: { color: 'gray', icon: IconCircleDashed, label: t.unknown },
  blocked: { color: 'red', icon: IconBan, label: t.blocked },
  failed: { color: 'red', icon: IconAlertTriangle, label: t.failed },
  pending: { color: 'blue', icon: IconHourglass, label: t.pending },
  expired: { color: 'orange', icon: IconHourglassOff, label: t.expired },
}

/** `applied/desired`; static peers report nothing. */
export const revisionOf = (peer: PeerView): string =>
  peer.kind === 'static'
    ? texts.states.nothing
    : `${peer.status.applied_revision ?? texts.states.nothing}/${peer.desired_revision}`

/** Where a peer is reached: as declared, else as its jump peer sees it. */
export const endpointOf = (peer: PeerView): string => peer.endpoint ?? peer.status.endpoint ?? texts.states.nothing
