// The forms that set federation up and change what this backend is to others.
import { Select, TagsInput, Text, Textarea, TextInput } from '@mantine/core'
import { useForm, type UseFormReturnType } from '@mantine/form'
import { answeredIn } from '../../api/forms'
import type { FederationPatch, FederationView } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { useChangeFederation, useInit } from './queries'

const t = texts.federation
const STRATEGIES = Object.entries(t.strategies).map(([value, label]) => ({ value: value as FederationView['strategy'], label }))

interface Common {
  infra_domains: string[]
  strategy: FederationView['strategy']
  listen: string
}

export function SetUp({ onClose }: { onClose: () => void }) {
  const init = useInit()
  const form = useForm({ initialValues: { domain: '', infra_domains: [] as string[], strategy: 'list' as const, listen: '' } })
  const submit = form.onSubmit(({ listen, ...body }) =>
    init.mutate({ ...body, ...(listen ? { listen } : {}) }, answeredIn(form, onClose)),
  )
  return (
    <FormModal title={t.setUp} submit={t.setUp} isOpen isPending={init.isPending} error={init.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.setUpSays}</Text>
      <TextInput label={t.domain} description={t.domainHint} required data-autofocus {...form.getInputProps('domain')} />
      <Fields form={form} />
    </FormModal>
  )
}

export function ChangeFederation({ of: present, onClose }: { of: FederationView; onClose: () => void }) {
  const facts = useOpened(present)
  const change = useChangeFederation(facts.version)
  const form = useForm({
    initialValues: {
      infra_domains: facts.infra_domains,
      strategy: facts.strategy,
      listen: '',
      ports: facts.ports.map(String),
      shared_roots: '',
    },
  })
  const submit = form.onSubmit(({ listen, shared_roots: roots, ports, ...rest }) => {
    const patch: FederationPatch = { ...rest, ports: ports.map(Number) }
    if (listen) patch.listen = listen
    if (roots) patch.shared_roots = roots
    change.mutate(patch, answeredIn(form, onClose))
  })
  return (
    <FormModal title={t.change} submit={texts.actions.save} isOpen isPending={change.isPending} error={change.error} onClose={onClose} onSubmit={submit}>
      <Fields form={form} />
      <TagsInput label={t.ports} {...form.getInputProps('ports')} />
      <Textarea label={t.roots} description={t.rootsHint} autosize minRows={2} maxRows={8} {...form.getInputProps('shared_roots')} />
    </FormModal>
  )
}

function Fields<V extends Common>({ form }: { form: UseFormReturnType<V> }) {
  return (
    <>
      <TagsInput label={t.infra} description={t.infraHint} {...form.getInputProps('infra_domains')} />
      <Select label={t.strategy} data={STRATEGIES} allowDeselect={false} {...form.getInputProps('strategy')} />
      <TextInput label={t.listen} description={t.listenHint} {...form.getInputProps('listen')} />
    </>
  )
}
