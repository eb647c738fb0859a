// The editor of grants: what is filled in, and in words what it will allow.
import { Alert, Checkbox, Group, NumberInput, Select, SimpleGrid, Text, TextInput } from '@mantine/core'
import { useForm, type UseFormReturnType } from '@mantine/form'
import { IconAlertTriangle } from '@tabler/icons-react'
import { useState } from 'react'
import { answeredIn } from '../../api/forms'
import type { GrantView, IssuedGrantView } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { useNetworkChoice, type Choice } from '../networks/choice'
import { AxisField } from './AxisField'
import { bodyOf, draftOf, emptyAxes, FRESH, meaningOf, patchOf, type Draft } from './form'
import { useNames, useServiceChoice } from './names'
import { useChangeGrant, useCreateGrant } from './queries'
import { TokenOnce } from './TokenOnce'
import { openAxes, sentence } from './words'

const t = texts.grants
const SCOPES = Object.keys(t.scopeNames)
const KINDS = ['service', 'network', 'peer', 'directory']
const DISCLOSES = Object.entries(t.discloses).map(([value, label]) => ({ value: value as Draft['disclose'], label }))

interface Props {
  onClose: () => void
}

export function CreateGrant({ onClose }: Props) {
  const create = useCreateGrant()
  const [now] = useState(Date.now)
  const [made, setMade] = useState<IssuedGrantView | null>(null)
  const form = useForm<Draft>({
    initialValues: FRESH,
    validate: (draft) => Object.fromEntries(emptyAxes(draft).map((axis) => [axis, t.listOrOpen])),
  })
  const submit = form.onSubmit((draft) => create.mutate(bodyOf(draft, now), answeredIn(form, setMade)))
  if (made !== null) return <TokenOnce of={made} onClose={onClose} />
  return (
    <FormModal title={t.create} submit={texts.actions.create} isOpen isPending={create.isPending} error={create.error} onClose={onClose} onSubmit={submit}>
      <TextInput label={t.subject} description={t.subjectHint} required data-autofocus {...form.getInputProps('subject')} />
      <Resource form={form} />
      <Limits form={form} daysHint={t.daysHint} />
      <Words draft={form.values} keptEnd={null} now={now} />
    </FormModal>
  )
}

export function ChangeGrant({ of: present, onClose }: Props & { of: GrantView }) {
  const grant = useOpened(present)
  const change = useChangeGrant(grant)
  const [now] = useState(Date.now)
  const before = draftOf(grant)
  const form = useForm<Draft>({ initialValues: before })
  const submit = form.onSubmit((draft) => change.mutate(patchOf(draft, before, now), answeredIn(form, onClose)))
  return (
    <FormModal title={t.change} submit={texts.actions.save} isOpen isPending={change.isPending} error={change.error} onClose={onClose} onSubmit={submit}>
      <Limits form={form} daysHint={t.daysKept} />
      <Words draft={form.values} keptEnd={grant.expires_at} now={now} />
    </FormModal>
  )
}

type Form = UseFormReturnType<Draft>

function Resource({ form }: { form: Form }) {
  const { kind } = form.values
  const choices: Record<string, Choice[]> = { service: useServiceChoice(), network: useNetworkChoice() }
  const known = choices[kind]
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }}>
      <Select label={t.kind} description={t.kindHint} data={KINDS} allowDeselect={false} {...form.getInputProps('kind')} />
      {known ? (
        <Select label={t.resource} description={t.resourceHint} clearable searchable data={known} {...form.getInputProps('resource_id')} />
      ) : (
        <TextInput label={t.resource} description={t.resourceHint} {...form.getInputProps('resource_id')} />
      )}
    </SimpleGrid>
  )
}

function Limits({ form, daysHint }: { form: Form; daysHint: string }) {
  return (
    <>
      <Checkbox.Group label={t.scopes} {...form.getInputProps('scopes')}>
        <Group mt="xs">
          {SCOPES.map((scope) => (
            <Checkbox key={scope} value={scope} label={scope} />
          ))}
        </Group>
      </Checkbox.Group>
      <AxisField axis="instances" {...form.getInputProps('instances')} />
      <AxisField axis="networks" choice={useNetworkChoice()} {...form.getInputProps('networks')} />
      <AxisField axis="sources" {...form.getInputProps('sources')} />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <NumberInput label={t.days} description={daysHint} min={1} {...form.getInputProps('days')} />
        <Select label={t.disclose} data={DISCLOSES} allowDeselect={false} {...form.getInputProps('disclose')} />
      </SimpleGrid>
      <TextInput label={t.note} {...form.getInputProps('note')} />
    </>
  )
}

/** What the draft will allow, while it is written. */
function Words({ draft, keptEnd, now }: { draft: Draft; keptEnd: string | null; now: number }) {
  const meaning = meaningOf(draft, keptEnd, now)
  const open = openAxes(meaning).map((axis) => t.axes[axis].toLowerCase())
  const names = useNames()
  return (
    <>
      <Alert title={t.words} color="blue" role="status">
        {sentence(meaning, names)}
      </Alert>
      {(open.length > 0 || meaning.resource_id === null) && (
        <Alert title={t.openAxes} color="yellow" icon={<IconAlertTriangle aria-hidden />}>
          {open.length > 0 && <Text size="sm">{`${t.openSays} ${open.join(', ')}.`}</Text>}
          {meaning.resource_id === null && <Text size="sm">{t.wholeKind}</Text>}
        </Alert>
      )}
    </>
  )
}
