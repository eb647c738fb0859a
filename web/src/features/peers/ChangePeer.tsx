// The form that changes a peer.
import { TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { Problem } from '../../api/problem'
import type { PeerView } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { patchOf, settingsOf } from './form'
import { PeerFields } from './PeerFields'
import { useChangePeer } from './queries'

const t = texts.peers

export function ChangePeer({ peer: present, onClose }: { peer: PeerView; onClose: () => void }) {
  const peer = useOpened(present)
  const change = useChangePeer(peer)
  const before = settingsOf(peer)
  const form = useForm({ initialValues: before })
  const submit = form.onSubmit((values) =>
    change.mutate(patchOf(values, before), {
      onSuccess: onClose,
      onError: (error) => error instanceof Problem && form.setErrors(error.fields),
    }),
  )
  return (
    <FormModal
      title={t.change}
      submit={texts.actions.save}
      isOpen
      isPending={change.isPending}
      error={change.error}
      onClose={onClose}
      onSubmit={submit}
    >
      <TextInput label={t.name} description={t.nameHint} required data-autofocus {...form.getInputProps('name')} />
      <TextInput label={t.endpoint} description={t.endpointHint} {...form.getInputProps('endpoint')} />
      {peer.kind === 'static' && <TextInput label={t.key} {...form.getInputProps('public_key')} />}
      <PeerFields form={form} />
    </FormModal>
  )
}
