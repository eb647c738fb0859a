// The forms that name a service and change one.
import { Select, TagsInput, TextInput } from '@mantine/core'
import { useForm, type UseFormReturnType } from '@mantine/form'
import { answeredIn } from '../../api/forms'
import type { ServiceView } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { useNetworkChoice } from '../networks/choice'
import { useChangeService, useCreateService } from './queries'

const t = texts.services

interface Settings {
  name: string
  address: string
  protocol: ServiceView['protocol']
  ports: string[]
  note: string
}

export function CreateService({ onClose }: { onClose: () => void }) {
  const create = useCreateService()
  const form = useForm({ initialValues: { name: '', network_id: '', address: '', protocol: 'tcp' as const, ports: [] as string[], note: '' } })
  const submit = form.onSubmit((body) => create.mutate(body, answeredIn(form, onClose)))
  return (
    <FormModal title={t.create} submit={texts.actions.create} isOpen isPending={create.isPending} error={create.error} onClose={onClose} onSubmit={submit}>
      <TextInput label={t.name} description={t.nameHint} required data-autofocus {...form.getInputProps('name')} />
      <Select label={t.network} required searchable data={useNetworkChoice()} {...form.getInputProps('network_id')} />
      <Fields form={form} />
    </FormModal>
  )
}

export function ChangeService({ of: present, onClose }: { of: ServiceView; onClose: () => void }) {
  const service = useOpened(present)
  const { name, address, protocol, ports, note } = service
  const change = useChangeService(service)
  const form = useForm({ initialValues: { name, address, protocol, ports, note } })
  const submit = form.onSubmit((body) => change.mutate(body, answeredIn(form, onClose)))
  return (
    <FormModal title={t.change} submit={texts.actions.save} isOpen isPending={change.isPending} error={change.error} onClose={onClose} onSubmit={submit}>
      <TextInput label={t.name} description={t.nameHint} required data-autofocus {...form.getInputProps('name')} />
      <Fields form={form} />
    </FormModal>
  )
}

function Fields<V extends Settings>({ form }: { form: UseFormReturnType<V> }) {
  return (
    <>
      <TextInput label={t.address} description={t.addressHint} required {...form.getInputProps('address')} />
      <Select label={t.protocol} data={['tcp', 'udp']} allowDeselect={false} {...form.getInputProps('protocol')} />
      <TagsInput label={t.ports} description={t.portsHint} {...form.getInputProps('ports')} />
      <TextInput label={t.note} {...form.getInputProps('note')} />
    </>
  )
}
