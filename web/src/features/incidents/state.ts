// What an incident means for its peer now, and how that looks.
import { IconAlertTriangle, IconBan, IconCircleCheck } from '@tabler/icons-react'
import type { IncidentView } from '../../api/schema.gen'
import type { Look } from '../../ui/Mark'
import { texts } from '../../ui/texts'

const t = texts.incidents

export function lookOf({ state, blocks }: Pick<IncidentView, 'state' | 'blocks'>): Look {
  if (state === 'resolved') return { color: 'teal', icon: IconCircleCheck, label: t.resolved }
  return blocks
    ? { color: 'red', icon: IconBan, label: t.blocks }
    : { color: 'yellow', icon: IconAlertTriangle, label: t.open }
}
