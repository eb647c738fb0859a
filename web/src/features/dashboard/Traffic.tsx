// How much passes, and how many agents have not applied yet what they are told, over the time that this tab is open.
import { SimpleGrid, Text } from '@mantine/core'
import { Section } from '../../ui/Facts'
import { Sparkline } from '../../ui/Sparkline'
import { texts } from '../../ui/texts'
import { bytes, count } from '../../ui/time'
import { rates, type Sample } from './samples'

const t = texts.dashboard

export function Traffic({ samples }: { samples: readonly Sample[] }) {
  const passed = rates(samples)
  const behind = samples.map((each) => each.behind)
  const rate = `${bytes(Math.round(passed.at(-1) ?? 0))}/s`
  return (
    <Section title={t.traffic}>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <div>
          <Text size="sm">{t.passes}</Text>
          <Text fw={600} className="numbers">
            {rate}
          </Text>
          <Sparkline values={passed} label={`${t.passes}: ${rate}`} />
        </div>
        <div>
          <Text size="sm">{t.behind}</Text>
          <Text fw={600} className="numbers">
            {count(behind.at(-1) ?? 0)}
          </Text>
          <Sparkline values={behind} label={`${t.behind}: ${count(behind.at(-1) ?? 0)}`} />
        </div>
      </SimpleGrid>
      <Text size="xs" c="dimmed" mt="xs">
        {t.sinceOpen}
      </Text>
    </Section>
  )
}
