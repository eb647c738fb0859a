// How the two sides of a remote stand, in a few words and a shape.
import { IconBan, IconCircleCheck, IconClock, IconPlayerPause } from '@tabler/icons-react'
import type { RemoteView } from '../../api/schema.gen'
import type { Look } from '../../ui/Mark'
import { texts } from '../../ui/texts'

const t = texts.remotes.standing

export type Standing = Pick<RemoteView, 'state' | 'state_there' | 'confirmed_here'>

export function lookOf({ state, state_there: there, confirmed_here: isConfirmed }: Standing): Look {
  if (state === 'pending') return { color: 'yellow', icon: IconClock, label: isConfirmed ? t.pending : t.pendingHere }
  if (state === 'revoked') return { color: 'red', icon: IconBan, label: there === 'revoked' ? t.revokedThere : t.revoked }
  if (there === 'suspended') {
    return { color: 'orange', icon: IconPlayerPause, label: state === 'active' ? t.suspendedThere : t.suspendedBoth }
  }
  if (state === 'suspended') return { color: 'orange', icon: IconPlayerPause, label: t.suspended }
  return { color: 'teal', icon: IconCircleCheck, label: t.active }
}
