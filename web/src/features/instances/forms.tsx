// The forms that certify a process of ours: for the first time, and anew. Its key never comes here.
import { Button, Group, Modal, NumberInput, Select, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useForm, type UseFormReturnType } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { answeredIn } from '../../api/forms'
import { Copied } from '../../ui/Copied'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { allPeers } from '../dashboard/queries'
import { useIssue, useRenew } from './queries'

const t = texts.instances
const HOUR = 3600

interface Request {
  csr: string
  hours: number | ''
}

const lifetimeOf = (hours: number | '') => (hours === '' ? {} : { lifetime: hours * HOUR })

export function Issue({ onClose }: { onClose: () => void }) {
  const issue = useIssue()
  const [chain, setChain] = useState<string | null>(null)
  const peers = useQuery(allPeers).data?.items ?? []
  const form = useForm<Request & { name: string; peer: string | null }>({ initialValues: { name: '', csr: '', peer: null, hours: '' } })
  const submit = form.onSubmit(({ hours, ...body }) =>
    issue.mutate({ ...body, ...lifetimeOf(hours) }, answeredIn(form, (made) => setChain(made.chain))),
  )
  if (chain !== null) return <Handed chain={chain} onClose={onClose} />
  return (
    <FormModal title={t.issue} submit={texts.actions.create} isOpen isPending={issue.isPending} error={issue.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.issueSays}</Text>
      <TextInput label={t.name} required data-autofocus {...form.getInputProps('name')} />
      <Fields form={form} />
      <Select label={t.runsOn} description={t.runsOnHint} clearable searchable limit={100} data={peers.map((each) => ({ value: each.id, label: each.name }))} {...form.getInputProps('peer')} />
    </FormModal>
  )
}

export function Renew({ id, name, onClose }: { id: string; name: string; onClose: () => void }) {
  const renew = useRenew(id)
  const [chain, setChain] = useState<string | null>(null)
  const form = useForm<Request>({ initialValues: { csr: '', hours: '' } })
  const submit = form.onSubmit(({ csr, hours }) =>
    renew.mutate({ csr, ...lifetimeOf(hours) }, answeredIn(form, (made) => setChain(made.chain))),
  )
  if (chain !== null) return <Handed chain={chain} onClose={onClose} />
  return (
    <FormModal title={`${t.renew}: ${name}`} submit={t.renew} isOpen isPending={renew.isPending} error={renew.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.issueSays}</Text>
      <Fields form={form} />
    </FormModal>
  )
}

function Fields<V extends Request>({ form }: { form: UseFormReturnType<V> }) {
  return (
    <>
      <Textarea label={t.csr} required autosize minRows={4} maxRows={10} {...form.getInputProps('csr')} />
      <NumberInput label={t.hours} min={1} {...form.getInputProps('hours')} />
    </>
  )
}

function Handed({ chain, onClose }: { chain: string; onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title={t.handed} size="lg" closeOnClickOutside={false} withCloseButton={false}>
      <Stack>
        <Text size="sm">{t.handedSays}</Text>
        <Copied label={t.handed}>{chain}</Copied>
        <Group justify="flex-end">
          <Button onClick={onClose}>{t.close}</Button>
        </Group>
      </Stack>
    </Modal>
  )
}
