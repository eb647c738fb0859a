// How full a range of addresses is.
import { Group, Progress, Text } from '@mantine/core'
import type { CapacityView } from '../../api/schema.gen'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'

const t = texts.networks

export function CapacityBar({ of }: { of: CapacityView | null }) {
  if (of === null) return <>{texts.states.nothing}</>
  const share = (value: number) => (of.total === 0 ? 0 : (100 * value) / of.total)
  const says = `${count(of.used)} ${t.of} ${count(of.total)}`
  return (
    <div>
      <Progress.Root size="md" aria-hidden>
        <Progress.Section value={share(of.used)} color="teal" />
        <Progress.Section value={share(of.reserved)} color="blue" />
        <Progress.Section value={share(of.held)} color="gray" />
      </Progress.Root>
      <Group gap="xs" className="numbers">
        <Text size="xs">{says}</Text>
        {of.reserved > 0 && <Text size="xs">{`${count(of.reserved)} ${t.reserved}`}</Text>}
        {of.held > 0 && <Text size="xs">{`${count(of.held)} ${t.held}`}</Text>}
        <Text size="xs">{`${count(of.free)} ${t.free}`}</Text>
      </Group>
    </div>
  )
}
