// A state in colour, shape and word, so that none of them is needed alone.
import { Badge, type MantineColor } from '@mantine/core'
import type { TablerIcon } from '@tabler/icons-react'

export interface Look {
  color: MantineColor
  icon: TablerIcon
  label: string
}

export function Mark({ look: { color, icon: Icon, label } }: { look: Look }) {
  return (
    <Badge color={color} variant="light" tt="none" leftSection={<Icon size={12} aria-hidden />}>
      {label}
    </Badge>
  )
}
