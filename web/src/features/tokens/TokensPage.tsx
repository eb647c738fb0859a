// API tokens for scripts and other machines.
import { Button, Checkbox, Code, Group, Modal, NumberInput, Stack, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { answeredIn } from '../../api/forms'
import type { TokenView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Copied } from '../../ui/Copied'
import { Foreign } from '../../ui/Foreign'
import { FormModal } from '../../ui/FormModal'
import { Listed } from '../../ui/Listed'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { at } from '../../ui/time'
import { When } from '../../ui/When'
import { tokens, useCreateToken, useDeleteToken, type Scope } from './queries'

const t = texts.tokens
const DAY = 86_400
const SCOPES = Object.entries(t.scopeSays).map(([value, label]) => ({ value: value as Scope, label }))

export function TokensPage() {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Page title={texts.pages.tokens} actions={<Button onClick={form.open}>{t.create}</Button>}>
      <Listed of={useInfiniteQuery(tokens)} none={t.none}>
        {(items) => (
          <Rows
            label={texts.pages.tokens}
            heads={[t.name, t.prefix, t.scopes, t.created, t.expires, t.used, t.remove]}
            minWidth={820}
            rows={items.map((each) => ({ key: each.id, cells: cellsOf(each) }))}
          />
        )}
      </Listed>
      {isOpen && <CreateToken onClose={form.close} />}
    </Page>
  )
}

const cellsOf = (each: TokenView) => [
  <Foreign key="name">{each.name}</Foreign>,
  <Code key="prefix">{each.prefix}</Code>,
  each.scopes.join(', '),
  <When key="created" at={each.created_at} />,
  each.expires_at ? at(each.expires_at) : t.never,
  each.last_used_at ? <When key="used" at={each.last_used_at} /> : t.never,
  <Remove key="remove" of={each} />,
]

function Remove({ of: { id, name } }: { of: TokenView }) {
  return (
    <Ask label={t.remove} title={`${t.remove}: ${name}`} move={useDeleteToken()} given={id}>
      {t.removeSays}
    </Ask>
  )
}

interface Draft {
  name: string
  scopes: Scope[]
  days: number | ''
}

function CreateToken({ onClose }: { onClose: () => void }) {
  const create = useCreateToken()
  const [made, setMade] = useState<string | null>(null)
  const form = useForm<Draft>({ initialValues: { name: '', scopes: ['read'], days: 90 } })
  const submit = form.onSubmit(({ days, ...body }) =>
    create.mutate({ ...body, lifetime: days === '' ? null : days * DAY }, answeredIn(form, ({ token }) => setMade(token))),
  )
  if (made !== null) {
    return (
      <Modal opened onClose={onClose} title={t.once} size="lg" closeOnClickOutside={false} withCloseButton={false}>
        <Stack>
          <Copied label={t.token}>{made}</Copied>
          <Text size="sm">{t.onceSays}</Text>
          <Group justify="flex-end">
            <Button onClick={onClose}>{t.close}</Button>
          </Group>
        </Stack>
      </Modal>
    )
  }
  return (
    <FormModal title={t.create} submit={texts.actions.create} isOpen isPending={create.isPending} error={create.error} onClose={onClose} onSubmit={submit}>
      <TextInput label={t.name} required data-autofocus {...form.getInputProps('name')} />
      <Checkbox.Group label={t.scopes} {...form.getInputProps('scopes')}>
        <Stack gap="xs" mt="xs">
          {SCOPES.map(({ value, label }) => (
            <Checkbox key={value} value={value} label={label} />
          ))}
        </Stack>
      </Checkbox.Group>
      <NumberInput label={t.days} description={t.daysHint} min={1} {...form.getInputProps('days')} />
    </FormModal>
  )
}
