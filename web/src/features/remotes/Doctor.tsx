// The chain to a remote link by link, as a checklist.
import { Button, List, Stack, Text, ThemeIcon } from '@mantine/core'
import { IconCheck, IconX } from '@tabler/icons-react'
import type { ExaminationView, LinkView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { useDoctor } from './queries'

const t = texts.remotes
const SIDES: Record<string, string> = t.sides

export function Doctor({ domain }: { domain: string }) {
  const examine = useDoctor(domain)
  return (
    <Section
      title={t.doctor}
      actions={
        <Button variant="default" loading={examine.isPending} onClick={() => examine.mutate()}>
          {t.examine}
        </Button>
      }
    >
      {examine.error && <Failed error={examine.error} />}
      {examine.data ? <Checklist of={examine.data} /> : <Text size="sm">{t.doctorSays}</Text>}
    </Section>
  )
}

function Checklist({ of: { findings, ok } }: { of: ExaminationView }) {
  const faults = findings.filter((each) => !each.ok).length
  return (
    <Stack gap="sm" role="status">
      <Text fw={600}>{ok ? t.allOk : `${faults} ${t.of} ${findings.length} ${t.faults}`}</Text>
      <List spacing="sm" center={false}>
        {findings.map((each) => (
          <List.Item
            key={each.step}
            icon={
              <ThemeIcon color={each.ok ? 'teal' : 'red'} size={22} radius="xl" role="img" aria-label={each.ok ? t.ok : t.fault}>
                {each.ok ? <IconCheck size={14} aria-hidden /> : <IconX size={14} aria-hidden />}
              </ThemeIcon>
            }
          >
            <Link of={each} />
          </List.Item>
        ))}
      </List>
    </Stack>
  )
}

function Link({ of: { step, ok, observed, expected, mend, side } }: { of: LinkView }) {
  const where = SIDES[side]
  return (
    <>
      <Text size="sm" fw={600} component="span">
        {step}
      </Text>
      {observed && (
        <Text size="sm">
          <Foreign>{observed}</Foreign>
        </Text>
      )}
      {!ok && expected && <Text size="sm">{`${t.expected}: ${expected}`}</Text>}
      {!ok && <Text size="sm">{`${t.mend}${where ? ` (${where})` : ''}: ${mend}`}</Text>}
    </>
  )
}
