// The state of one side of a bridge in colour, shape and word.
import { IconBan, IconCircleCheck, IconClock, IconPlayerPause, IconQuestionMark } from '@tabler/icons-react'
import type { BridgeState, BridgeView } from '../../api/schema.gen'
import type { Look } from '../../ui/Mark'
import { texts } from '../../ui/texts'

const t = texts.bridges

const LOOKS: Record<BridgeState, Look> = {
  proposed: { color: 'yellow', icon: IconClock, label: t.states.proposed },
  active: { color: 'teal', icon: IconCircleCheck, label: t.states.active },
  suspended: { color: 'orange', icon: IconPlayerPause, label: t.states.suspended },
  revoked: { color: 'red', icon: IconBan, label: t.states.revoked },
}

export const lookOf = (state: BridgeState | null): Look =>
  state === null ? { color: 'gray', icon: IconQuestionMark, label: t.unheard } : LOOKS[state]

/** What the other side offers and is not let in, on a bridge that was accepted. */
export function notLetIn({ state, theirs, accepted }: Pick<BridgeView, 'state' | 'theirs' | 'accepted'>): string[] {
  if ((state !== 'active' && state !== 'suspended') || theirs === null) return []
  return theirs.prefixes.filter((each) => !accepted.includes(each))
}

/** The networks that are joined, as each side calls its own. */
export const networksOf = ({ network, theirs }: BridgeView) => ({
  ours: network?.name ?? network?.id ?? t.notChosen,
  theirs: theirs?.network ?? t.notChosen,
})
