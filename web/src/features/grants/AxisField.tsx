// One axis of a grant: anything, or only what is listed.
import { Fieldset, MultiSelect, SegmentedControl, Stack, TagsInput } from '@mantine/core'
import type { ReactNode } from 'react'
import type { AxisView } from '../../api/schema.gen'
import { texts } from '../../ui/texts'
import type { Choice } from '../networks/choice'
import type { Axis } from './words'

const t = texts.grants
const MODES = [
  { value: 'list', label: t.listed },
  { value: 'any', label: t.open },
] as const

interface Props {
  axis: Axis
  /** What may be listed; without it everything that is typed. */
  choice?: Choice[]
  value?: AxisView
  onChange?: (after: AxisView) => void
  error?: ReactNode
}

export function AxisField({ axis, choice, value = { mode: 'any', entries: [] }, onChange, error }: Props) {
  const entries = {
    'aria-label': `${t.axes[axis]}: ${t.listed}`,
    description: t.axisSays[axis],
    value: value.entries,
    error,
    onChange: (after: string[]) => onChange?.({ mode: 'list', entries: after }),
  }
  return (
    <Fieldset legend={t.axes[axis]}>
      <Stack gap="xs">
        <SegmentedControl
          fullWidth
          aria-label={t.axes[axis]}
          data={[...MODES]}
          value={value.mode}
          onChange={(mode) => onChange?.({ mode, entries: mode === 'any' ? [] : value.entries })}
        />
        {value.mode === 'list' && (choice ? <MultiSelect searchable data={choice} {...entries} /> : <TagsInput {...entries} />)}
      </Stack>
    </Fieldset>
  )
}
