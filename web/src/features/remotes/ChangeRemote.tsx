// The form that says what a remote may do.
import { Checkbox, NumberInput, Select, SimpleGrid, TagsInput, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { answeredIn } from '../../api/forms'
import type { RemoteDetailsView, RemotePatch } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { useChangeRemote } from './queries'

const t = texts.remotes
const DIRECTIONS = Object.entries(t.directions).map(([value, label]) => ({ value: value as RemoteDetailsView['direction'], label }))
const RULES = [
  ['needs_dnssec', t.dnssec],
  ['needs_tlsa', t.tlsa],
  ['known_instances_only', t.known],
  ['wan_permitted', t.wan],
] as const

export function ChangeRemote({ of: present, onClose }: { of: RemoteDetailsView; onClose: () => void }) {
  const remote = useOpened(present)
  const change = useChangeRemote(remote.domain, remote.version)
  const form = useForm({
    initialValues: {
      direction: remote.direction,
      components: remote.components ?? [],
      infra_domains: remote.infra_domains,
      limits: remote.limits,
      expires_at: remote.expires_at ?? '',
      contact: remote.contact,
      notes: remote.notes,
      needs_dnssec: remote.needs_dnssec,
      needs_tlsa: remote.needs_tlsa,
      known_instances_only: remote.known_instances_only,
      wan_permitted: remote.wan_permitted,
    },
  })
  const submit = form.onSubmit(({ components, expires_at: expires, ...rest }) => {
    const patch: RemotePatch = {
      ...rest,
      components: components.length === 0 ? null : components,
      expires_at: expires || null,
    }
    change.mutate(patch, answeredIn(form, onClose))
  })
  return (
    <FormModal title={t.change} submit={texts.actions.save} isOpen isPending={change.isPending} error={change.error} onClose={onClose} onSubmit={submit}>
      <Select label={t.direction} data={DIRECTIONS} allowDeselect={false} {...form.getInputProps('direction')} />
      <TagsInput label={t.components} placeholder={t.all} {...form.getInputProps('components')} />
      <TagsInput label={t.infra} {...form.getInputProps('infra_domains')} />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <NumberInput label={`${t.requests} ${t.perSecond}`} min={0} {...form.getInputProps('limits.requests')} />
        <NumberInput label={`${t.requests} ${t.atOnce}`} min={1} {...form.getInputProps('limits.requests_burst')} />
        <NumberInput label={`${t.mutations} ${t.perSecond}`} min={0} {...form.getInputProps('limits.mutations')} />
        <NumberInput label={`${t.mutations} ${t.atOnce}`} min={1} {...form.getInputProps('limits.mutations_burst')} />
        <NumberInput label={`${t.requests} ${t.parallel}`} min={1} {...form.getInputProps('limits.parallel')} />
        <TextInput label={t.expires} placeholder={t.never} description="2030-12-31T00:00:00Z" {...form.getInputProps('expires_at')} />
        <TextInput label={t.contact} {...form.getInputProps('contact')} />
        <TextInput label={t.notes} {...form.getInputProps('notes')} />
        {RULES.map(([name, label]) => (
          <Checkbox key={name} label={label} {...form.getInputProps(name, { type: 'checkbox' })} />
        ))}
      </SimpleGrid>
    </FormModal>
  )
}
