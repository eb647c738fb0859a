// The forms that propose a bridge, accept one, and say what is let in over it.
import { Checkbox, Select, Stack, TagsInput, Text, Textarea } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useInfiniteQuery } from '@tanstack/react-query'
import { answeredIn } from '../../api/forms'
import type { BridgeView } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useNetworkChoice } from '../networks/choice'
import { remotes } from '../remotes/queries'
import { useAcceptBridge, useLetIn, usePropose } from './queries'

const t = texts.bridges

interface Props {
  onClose: () => void
}

// To the server an empty list means all of them.
const oneAtLeast = (chosen: readonly string[]) => (chosen.length === 0 ? t.oneAtLeast : null)

export function ProposeBridge({ onClose }: Props) {
  const propose = usePropose()
  const known = useInfiniteQuery(remotes).data?.pages.flatMap((page) => page.items) ?? []
  const partners = known.filter((each) => each.state === 'active').map((each) => each.domain)
  const form = useForm({ initialValues: { remote: '', network_id: '', prefixes: [] as string[], reason: '' } })
  const submit = form.onSubmit((body) => propose.mutate(body, answeredIn(form, onClose)))
  return (
    <FormModal title={t.propose} submit={t.propose} isOpen isPending={propose.isPending} error={propose.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.proposeSays}</Text>
      <Select label={t.remote} required searchable data={partners} data-autofocus {...form.getInputProps('remote')} />
      <Select label={t.network} required searchable data={useNetworkChoice()} {...form.getInputProps('network_id')} />
      <TagsInput label={t.prefixes} description={t.prefixesHint} {...form.getInputProps('prefixes')} />
      <Textarea label={t.reason} autosize minRows={2} {...form.getInputProps('reason')} />
    </FormModal>
  )
}

export function AcceptBridge({ of: bridge, onClose }: Props & { of: BridgeView }) {
  const accept = useAcceptBridge(bridge)
  const offered = bridge.theirs?.prefixes ?? []
  const form = useForm({
    initialValues: { network_id: bridge.network?.id ?? '', accepted: offered, prefixes: [] as string[], reason: '' },
    validate: { accepted: oneAtLeast },
  })
  const submit = form.onSubmit(({ network_id, ...body }) =>
    accept.mutate({ ...body, network_id: network_id || null }, answeredIn(form, onClose)),
  )
  return (
    <FormModal title={t.acceptTitle} submit={t.moves.accept} isOpen isPending={accept.isPending} error={accept.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.acceptSays}</Text>
      <Select label={t.network} required searchable data={useNetworkChoice()} data-autofocus {...form.getInputProps('network_id')} />
      <TagsInput label={t.prefixes} description={t.prefixesHint} {...form.getInputProps('prefixes')} />
      <Prefixes offered={offered} {...form.getInputProps('accepted')} />
      <Textarea label={t.reason} autosize minRows={2} {...form.getInputProps('reason')} />
    </FormModal>
  )
}

export function LetIn({ of: bridge, onClose }: Props & { of: BridgeView }) {
  const letIn = useLetIn(bridge)
  const offered = [...new Set([...(bridge.theirs?.prefixes ?? []), ...bridge.accepted])]
  const form = useForm({ initialValues: { prefixes: bridge.accepted }, validate: { prefixes: oneAtLeast } })
  const submit = form.onSubmit(({ prefixes }) => letIn.mutate(prefixes, answeredIn(form, onClose)))
  return (
    <FormModal title={t.acceptPrefixes} submit={texts.actions.save} isOpen isPending={letIn.isPending} error={letIn.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.acceptPrefixesSays}</Text>
      <Prefixes offered={offered} {...form.getInputProps('prefixes')} />
    </FormModal>
  )
}

function Prefixes({ offered, ...input }: { offered: readonly string[] }) {
  return (
    <Checkbox.Group label={t.letIn} {...input}>
      <Stack gap="xs" mt="xs">
        {offered.map((each) => (
          <Checkbox key={each} value={each} label={each} />
        ))}
      </Stack>
    </Checkbox.Group>
  )
}
