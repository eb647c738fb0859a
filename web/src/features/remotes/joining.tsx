// The ways to another backend: inviting it, accepting its invitation, or trusting who vouches for it.
import { Button, Group, Modal, NumberInput, Select, Stack, TagsInput, Text, Textarea, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useNavigate } from '@tanstack/react-router'
import { useState, type ReactNode } from 'react'
import { answeredIn } from '../../api/forms'
import type { AcceptedView, InvitedView } from '../../api/schema.gen'
import { Copied } from '../../ui/Copied'
import { FormModal } from '../../ui/FormModal'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { at } from '../../ui/time'
import { useNetworkChoice } from '../networks/choice'
import { useAccept, useAddShared, useInvite } from './queries'

const t = texts.remotes
const HOUR = 3600

interface Props {
  onClose: () => void
}

export function Invite({ onClose }: Props) {
  const invite = useInvite()
  const [made, setMade] = useState<InvitedView | null>(null)
  const choice = useNetworkChoice()
  const form = useForm({ initialValues: { domain: '', hours: 24, network_id: null as string | null } })
  const submit = form.onSubmit(({ domain, hours, network_id }) =>
    invite.mutate({ domain, lifetime: hours * HOUR, network_id }, answeredIn(form, setMade)),
  )
  if (made !== null) {
    return (
      <Handed title={t.invited} onClose={onClose}>
        <Text size="sm">{`${t.inviteSays} ${t.ends}: ${at(made.expires_at)}.`}</Text>
        <Copied label={t.text}>{made.text}</Copied>
        <Text size="sm">{t.invitedSays}</Text>
      </Handed>
    )
  }
  return (
    <FormModal title={t.invite} submit={t.invite} isOpen isPending={invite.isPending} error={invite.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.inviteSays}</Text>
      <TextInput label={t.inviteFor} required data-autofocus {...form.getInputProps('domain')} />
      <NumberInput label={t.hours} min={1} {...form.getInputProps('hours')} />
      <Select label={t.bridgeTo} placeholder={t.noBridge} clearable data={choice} {...form.getInputProps('network_id')} />
    </FormModal>
  )
}

export function Accept({ onClose }: Props) {
  const accept = useAccept()
  const navigate = useNavigate()
  const [made, setMade] = useState<AcceptedView | null>(null)
  const choice = useNetworkChoice()
  const form = useForm({ initialValues: { invitation: '', network_id: null as string | null } })
  const submit = form.onSubmit((body) =>
    accept.mutate({ ...body, invitation: body.invitation.trim() }, answeredIn(form, setMade)),
  )
  if (made !== null) {
    const { remote, problem } = made
    const close = () => {
      onClose()
      void navigate({ to: '/remotes/$domain', params: { domain: remote.domain } })
    }
    return (
      <Handed title={t.accepted} onClose={close}>
        <Text size="sm">{t.acceptedSays}</Text>
        <Title order={3} ta="center" className="numbers">
          {remote.short_code}
        </Title>
        {problem && <Failed error={{ title: t.notTold, message: problem.detail }} />}
      </Handed>
    )
  }
  return (
    <FormModal title={t.accept} submit={t.accept} isOpen isPending={accept.isPending} error={accept.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.acceptSays}</Text>
      <Textarea label={t.text} required data-autofocus autosize minRows={4} maxRows={10} {...form.getInputProps('invitation')} />
      <Select label={t.bridgeTo} placeholder={t.noBridge} clearable data={choice} {...form.getInputProps('network_id')} />
    </FormModal>
  )
}

export function AddShared({ onClose }: Props) {
  const add = useAddShared()
  const form = useForm({ initialValues: { domain: '', infra_domains: [] as string[] } })
  const submit = form.onSubmit((body) => add.mutate(body, answeredIn(form, onClose)))
  return (
    <FormModal title={t.add} submit={texts.actions.create} isOpen isPending={add.isPending} error={add.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.addSays}</Text>
      <TextInput label={t.domain} required data-autofocus {...form.getInputProps('domain')} />
      <TagsInput label={t.infra} description={texts.federation.infraHint} {...form.getInputProps('infra_domains')} />
    </FormModal>
  )
}

function Handed({ title, children, onClose }: Props & { title: string; children: ReactNode }) {
  return (
    <Modal opened onClose={onClose} title={title} size="lg" closeOnClickOutside={false} withCloseButton={false}>
      <Stack>
        {children}
        <Group justify="flex-end">
          <Button onClick={onClose}>{texts.grants.close}</Button>
        </Group>
      </Stack>
    </Modal>
  )
}
