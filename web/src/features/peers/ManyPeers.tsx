// What is done with several peers at once: with all of them or with none.
import { Button, Checkbox, Group, Paper, Stack, TagsInput, Text } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { answeredIn } from '../../api/forms'
import type { PeerView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { useOpened } from '../../ui/useOpened'
import { groups, useBulk } from './queries'

const t = texts.peers
const MOST = 1000

interface Props {
  peers: readonly PeerView[]
  onDone: () => void
}

export function ManyPeers({ peers, onDone }: Props) {
  const networks = new Set(peers.map((each) => each.network.id))
  const obstacle = networks.size > 1 ? t.oneNetwork : peers.length > MOST ? `${t.atMost} ${count(MOST)}` : null
  return (
    <Paper withBorder p="xs" component="section" aria-label={t.many}>
      <Group>
        <Text size="sm" fw={600}>{`${count(peers.length)} ${t.chosen}`}</Text>
        {obstacle ? <Text size="sm">{obstacle}</Text> : <Moves peers={peers} onDone={onDone} />}
        <Button variant="subtle" onClick={onDone}>
          {t.chooseNone}
        </Button>
      </Group>
    </Paper>
  )
}

function Moves({ peers, onDone }: Props) {
  const [isOpen, form] = useDisclosure(false)
  const [isForced, setForced] = useState(false)
  const network = peers[0]?.network.id ?? ''
  const operations = peers.map(({ name, version }) => ({ action: 'delete' as const, name, version, force: isForced }))
  return (
    <>
      <Button variant="default" onClick={form.open}>
        {t.intoGroups}
      </Button>
      <Ask label={t.removeMany} title={`${t.removeMany}: ${count(peers.length)}`} move={useBulk(network)} given={operations} done={onDone}>
        <Stack gap="sm">
          {t.removeManySays}
          <Checkbox label={t.removeForce} checked={isForced} onChange={(event) => setForced(event.currentTarget.checked)} />
        </Stack>
      </Ask>
      {isOpen && <IntoGroups peers={peers} onClose={form.close} />}
    </>
  )
}

function IntoGroups({ peers: present, onClose }: { peers: readonly PeerView[]; onClose: () => void }) {
  const peers = useOpened(present)
  const bulk = useBulk(peers[0]?.network.id ?? '')
  const known = [...new Set(useQuery(groups).data?.items.map((each) => each.name) ?? [])]
  const form = useForm({ initialValues: { groups: [] as string[] } })
  const submit = form.onSubmit(({ groups: added }) =>
    bulk.mutate(
      peers.map((each) => ({
        action: 'update' as const,
        name: each.name,
        version: each.version,
        groups: [...new Set([...each.groups, ...added])],
      })),
      answeredIn(form, onClose),
    ),
  )
  return (
    <FormModal title={t.intoGroups} submit={texts.actions.save} isOpen isPending={bulk.isPending} error={bulk.error} onClose={onClose} onSubmit={submit}>
      <TagsInput label={t.groups} data={known} data-autofocus {...form.getInputProps('groups')} />
    </FormModal>
  )
}
