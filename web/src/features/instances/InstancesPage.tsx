// Our processes that call remotes, each under a certificate of its own.
import { Button, Checkbox, Code, Group, Modal, NumberInput, Select, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { IconBan, IconCircleCheck, IconClock } from '@tabler/icons-react'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { answeredIn } from '../../api/forms'
import type { HandedView, InstanceView } from '../../api/schema.gen'
import { AskReason } from '../../ui/AskReason'
import { Copied } from '../../ui/Copied'
import { Foreign } from '../../ui/Foreign'
import { FormModal } from '../../ui/FormModal'
import { Listed } from '../../ui/Listed'
import { Mark, type Look } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { allPeers } from '../dashboard/queries'
import { instances, useIssue, useRevoke } from './queries'

const t = texts.instances
const HOUR = 3600

interface Draft {
  name: string
  csr: string
  peer: string | null
  hours: number | ''
}

export function InstancesPage() {
  const [isAll, setAll] = useState(false)
  const [isOpen, form] = useDisclosure(false)
  return (
    <Page
      title={texts.pages.instances}
      actions={
        <Group>
          <Checkbox label={t.showRevoked} checked={isAll} onChange={(event) => setAll(event.currentTarget.checked)} />
          <Button onClick={form.open}>{t.issue}</Button>
        </Group>
      }
    >
      <Listed of={useInfiniteQuery(instances(isAll))} none={t.none}>
        {(items) => <InstanceTable instances={items} />}
      </Listed>
      {isOpen && <Issue onClose={form.close} />}
    </Page>
  )
}

function lookOf({ revoked_at: revokedAt, leaf }: InstanceView): Look {
  if (revokedAt) return { color: 'red', icon: IconBan, label: t.revoked }
  return leaf ? { color: 'teal', icon: IconCircleCheck, label: t.valid } : { color: 'yellow', icon: IconClock, label: t.waiting }
}

function InstanceTable({ instances: items }: { instances: readonly InstanceView[] }) {
  const rows = items.map((each) => ({
    key: each.id,
    cells: [
      each.name,
      <Mark key="state" look={lookOf(each)} />,
      <Code key="id">{each.id}</Code>,
      each.peer && (
        <To key="peer" to="/peers/$peerId" params={{ peerId: each.peer.id }}>
          {each.peer.name}
        </To>
      ),
      t.makers[each.made_by],
      each.leaf && <When key="leaf" at={each.leaf.ends_at} />,
      each.revoked_at ? <Foreign key="reason">{each.reason}</Foreign> : each.made_by !== 'backend' && <Revoke key="revoke" of={each} />,
    ],
  }))
  return <Rows label={texts.pages.instances} heads={[t.name, t.state, t.id, t.peer, t.made, t.leaf, t.revoke]} rows={rows} minWidth={860} />
}

function Revoke({ of: { id, name } }: { of: InstanceView }) {
  return (
    <AskReason label={t.revoke} title={`${t.revoke}: ${name}`} move={useRevoke(id)} isRequired>
      {t.revokeSays}
    </AskReason>
  )
}

function Issue({ onClose }: { onClose: () => void }) {
  const issue = useIssue()
  const [made, setMade] = useState<HandedView | null>(null)
  const peers = useQuery(allPeers).data?.items ?? []
  const form = useForm<Draft>({ initialValues: { name: '', csr: '', peer: null, hours: '' } })
  const submit = form.onSubmit(({ hours, ...body }) =>
    issue.mutate({ ...body, ...(hours === '' ? {} : { lifetime: hours * HOUR }) }, answeredIn(form, setMade)),
  )
  if (made !== null) {
    return (
      <Modal opened onClose={onClose} title={t.handed} size="lg" closeOnClickOutside={false} withCloseButton={false}>
        <Stack>
          <Text size="sm">{t.handedSays}</Text>
          <Copied label={t.handed}>{made.chain}</Copied>
          <Group justify="flex-end">
            <Button onClick={onClose}>{t.close}</Button>
          </Group>
        </Stack>
      </Modal>
    )
  }
  return (
    <FormModal title={t.issue} submit={texts.actions.create} isOpen isPending={issue.isPending} error={issue.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.issueSays}</Text>
      <TextInput label={t.name} required data-autofocus {...form.getInputProps('name')} />
      <Textarea label={t.csr} required autosize minRows={4} maxRows={10} {...form.getInputProps('csr')} />
      <Select label={t.runsOn} description={t.runsOnHint} clearable searchable limit={100} data={peers.map((each) => ({ value: each.id, label: each.name }))} {...form.getInputProps('peer')} />
      <NumberInput label={t.hours} min={1} {...form.getInputProps('hours')} />
    </FormModal>
  )
}
