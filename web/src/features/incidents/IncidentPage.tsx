// One incident with its evidence, and its end.
import { Button, Code, Stack, Text, Textarea, Timeline } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { Problem } from '../../api/problem'
import type { EnrollmentReuseView, IncidentView } from '../../api/schema.gen'
import { Facts, Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { FormModal } from '../../ui/FormModal'
import { Loaded } from '../../ui/Loaded'
import { Mark } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { texts } from '../../ui/texts'
import { at } from '../../ui/time'
import { To } from '../../ui/To'
import { timeline, type Seen } from './evidence'
import { incident, useResolve } from './queries'
import { lookOf } from './state'

const t = texts.incidents

export function IncidentPage() {
  const { incidentId = '' } = useParams({ strict: false })
  const read = useQuery(incident(incidentId))
  const [isOpen, form] = useDisclosure(false)
  const isResolvable = read.data?.state === 'open'
  return (
    <Page
      title={read.data ? t.types[read.data.type] : texts.pages.incidents}
      actions={isResolvable && <Button onClick={form.open}>{t.resolve}</Button>}
    >
      <Loaded of={read}>
        {(each) => (
          <Stack>
            <Text>{t.says[each.type]}</Text>
            <Standing incident={each} />
            <Section title={t.evidence}>
              {'enrolled_key' in each.evidence ? <Reuse evidence={each.evidence} /> : <Moments seen={timeline(each.evidence)} />}
            </Section>
          </Stack>
        )}
      </Loaded>
      {isOpen && <Resolve id={incidentId} onClose={form.close} />}
    </Page>
  )
}

function Standing({ incident: each }: { incident: IncidentView }) {
  return (
    <Section title={t.state} actions={<Mark look={lookOf(each)} />}>
      <Facts
        facts={[
          [t.peer, <To key="peer" to="/peers/$peerId" params={{ peerId: each.peer.id }}>{each.peer.name}</To>],
          [t.network, each.network.name],
          [t.detected, at(each.detected_at)],
          [t.resolvedAt, each.resolved_at && at(each.resolved_at)],
          [t.resolvedBy, each.resolved_by],
          [t.reason, each.reason && <Foreign key="reason">{each.reason}</Foreign>],
          [t.id, <Code key="id">{each.id}</Code>],
        ]}
      />
    </Section>
  )
}

function Moments({ seen }: { seen: readonly Seen[] }) {
  return (
    <Timeline bulletSize={16} lineWidth={2} active={seen.length}>
      {seen.map((each, index) => (
        <Timeline.Item key={index} title={`${each.by ? t.seenAt : t.from} ${each.place ?? t.unknownPlace}`}>
          <Text size="sm" className="numbers">
            {at(each.at)}
            {each.by && ` ${t.by} ${each.by}`}
          </Text>
          {each.process && (
            <Text size="xs" c="dimmed">
              {`${t.machine} `}
              <Foreign>{each.process.machine}</Foreign>
              {`, ${t.boot} `}
              <Foreign>{each.process.boot}</Foreign>
              {`, ${t.started} ${at(each.process.startedAt)}`}
            </Text>
          )}
        </Timeline.Item>
      ))}
    </Timeline>
  )
}

function Reuse({ evidence }: { evidence: EnrollmentReuseView }) {
  return (
    <Facts
      facts={[
        [t.token, `${evidence.token}…`],
        [t.enrolledKey, <Code key="enrolled">{evidence.enrolled_key}</Code>],
        [t.presentedKey, <Code key="presented">{evidence.presented_key}</Code>],
        [t.hostname, <Foreign key="host">{evidence.hostname}</Foreign>],
        [t.source, evidence.source],
      ]}
    />
  )
}

function Resolve({ id, onClose }: { id: string; onClose: () => void }) {
  const resolve = useResolve(id)
  const form = useForm({ initialValues: { reason: '' } })
  const submit = form.onSubmit(({ reason }) =>
    resolve.mutate(reason, {
      onSuccess: onClose,
      onError: (error) => error instanceof Problem && form.setErrors(error.fields),
    }),
  )
  return (
    <FormModal
      title={t.resolveTitle}
      submit={t.resolve}
      isOpen
      isPending={resolve.isPending}
      error={resolve.error}
      onClose={onClose}
      onSubmit={submit}
    >
      <Text size="sm">{t.resolveSays}</Text>
      <Textarea label={t.reason} required data-autofocus autosize minRows={2} {...form.getInputProps('reason')} />
    </FormModal>
  )
}
