// What belongs to one remote: its instances, what it was not told yet, and what of it counts no more.
import { Button, Code, Select, Text, Textarea, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { answeredIn } from '../../api/forms'
import type { MessageView, RemoteDetailsView, RemoteInstanceView, RevocationView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { AskReason } from '../../ui/AskReason'
import { Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { FormModal } from '../../ui/FormModal'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { at, count } from '../../ui/time'
import { When } from '../../ui/When'
import { useBlock, useDrop, useRetry, useRevokeLeaf, useUnblock } from './queries'

const t = texts.remotes

interface Props {
  of: RemoteDetailsView
}

export function Instances({ of: { domain, instances } }: Props) {
  return (
    <Section title={t.instances}>
      {instances.length === 0 ? (
        <Text size="sm">{t.noInstances}</Text>
      ) : (
        <Rows
          label={t.instances}
          heads={[t.instance, t.firstSeen, t.lastSeen, t.blocked, t.block]}
          rows={instances.map((each) => ({
            key: each.instance,
            cells: [
              <Code key="id">{each.instance}</Code>,
              <When key="first" at={each.first_seen} />,
              <When key="last" at={each.last_seen} />,
              each.blocked_at ? <Foreign key="reason">{each.reason}</Foreign> : t.no,
              <Blocking key="block" domain={domain} of={each} />,
            ],
          }))}
        />
      )}
    </Section>
  )
}

function Blocking({ domain, of: { instance, blocked_at: blockedAt } }: { domain: string; of: RemoteInstanceView }) {
  const block = useBlock(domain, instance)
  const unblock = useUnblock(domain, instance)
  if (blockedAt) {
    return (
      <Ask label={t.unblock} title={`${t.unblock}: ${instance}`} move={unblock} given={undefined} isPlain>
        {t.unblockSays}
      </Ask>
    )
  }
  return (
    <AskReason label={t.block} title={`${t.block}: ${instance}`} move={block} isRequired>
      {t.blockSays}
    </AskReason>
  )
}

export function Waiting({ of: { domain, waiting } }: Props) {
  const retry = useRetry(domain)
  const again = (
    <Button variant="default" loading={retry.isPending} onClick={() => retry.mutate()}>
      {t.retry}
    </Button>
  )
  return (
    <Section title={t.waiting} actions={waiting.length > 0 && again}>
      {waiting.length === 0 ? (
        <Text size="sm">{t.noWaiting}</Text>
      ) : (
        <Rows
          label={t.waiting}
          heads={[t.message, t.call, t.since, t.attempts, t.next, t.answer, t.drop]}
          minWidth={860}
          rows={waiting.map((each) => ({
            key: `${each.lane}/${each.number}`,
            cells: [
              `${each.lane}/${each.number}`,
              each.rpc,
              <When key="since" at={each.created_at} />,
              count(each.attempts),
              each.parked ? t.parked : <When key="next" at={each.next_at} />,
              (each.parked || each.error) && <Foreign key="answer">{each.parked || each.error}</Foreign>,
              <Drop key="drop" domain={domain} of={each} />,
            ],
          }))}
        />
      )}
    </Section>
  )
}

function Drop({ domain, of: { lane, number } }: { domain: string; of: MessageView }) {
  return (
    <AskReason label={t.drop} title={`${t.drop}: ${lane}/${number}`} move={useDrop(domain, lane, number)} isRequired>
      {t.dropSays}
    </AskReason>
  )
}

const KINDS = ['instance', 'fingerprint', 'serial', 'key'] as const

const kindOf = (each: RevocationView) => KINDS.find((kind) => each[kind])

export function Revocations({ of: { domain, revocations } }: Props) {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Section
      title={t.revocations}
      actions={
        <Button variant="light" color="red" onClick={form.open}>
          {t.revokeOne}
        </Button>
      }
    >
      {revocations.length === 0 ? (
        <Text size="sm">{t.noRevocations}</Text>
      ) : (
        <Rows
          label={t.revocations}
          heads={[t.kind, t.which, t.at, t.reason]}
          rows={revocations.map((each) => {
            const kind = kindOf(each)
            const which = kind && each[kind]
            return {
              key: `${kind ?? ''} ${which ?? ''}`,
              cells: [kind, which, at(each.at), <Foreign key="reason">{each.reason}</Foreign>],
            }
          })}
        />
      )}
      {isOpen && <RevokeOne domain={domain} onClose={form.close} />}
    </Section>
  )
}

function RevokeOne({ domain, onClose }: { domain: string; onClose: () => void }) {
  const revoke = useRevokeLeaf(domain)
  const form = useForm({ initialValues: { kind: 'instance', which: '', reason: '' } })
  const submit = form.onSubmit(({ kind, which, reason }) =>
    revoke.mutate({ [kind]: which.trim(), reason }, answeredIn(form, onClose)),
  )
  return (
    <FormModal title={t.revokeOne} submit={t.revoke} isOpen isPending={revoke.isPending} error={revoke.error} onClose={onClose} onSubmit={submit}>
      <Text size="sm">{t.revokeOneSays}</Text>
      <Select label={t.kind} data={[...KINDS]} allowDeselect={false} {...form.getInputProps('kind')} />
      <TextInput label={t.which} required data-autofocus {...form.getInputProps('which')} />
      <Textarea label={texts.actions.reason} required autosize minRows={2} {...form.getInputProps('reason')} />
    </FormModal>
  )
}
