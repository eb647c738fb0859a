// The forms that put somebody into the directory and say who may see whom.
import { Button, Group, Select, SimpleGrid, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { answeredIn } from '../../api/forms'
import type { DirectoryUserView } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { remotes } from '../remotes/queries'
import { useChangePerson, useCreatePerson, useSetFor } from './queries'

const t = texts.people
type Visibility = DirectoryUserView['visibility']
const VISIBILITIES = Object.entries(t.visibilities).map(([value, label]) => ({ value: value as Visibility, label }))

export function CreatePerson({ onClose }: { onClose: () => void }) {
  const create = useCreatePerson()
  const form = useForm<{ handle: string; display_name: string; visibility: Visibility }>({
    initialValues: { handle: '', display_name: '', visibility: 'handle' },
  })
  const submit = form.onSubmit((body) => create.mutate(body, answeredIn(form, onClose)))
  return (
    <FormModal title={t.create} submit={texts.actions.create} isOpen isPending={create.isPending} error={create.error} onClose={onClose} onSubmit={submit}>
      <TextInput label={t.handle} description={t.handleHint} required data-autofocus {...form.getInputProps('handle')} />
      <TextInput label={t.name} {...form.getInputProps('display_name')} />
      <Select label={t.visibility} data={VISIBILITIES} allowDeselect={false} {...form.getInputProps('visibility')} />
    </FormModal>
  )
}

export function ChangePerson({ of: present, onClose }: { of: DirectoryUserView; onClose: () => void }) {
  const person = useOpened(present)
  const change = useChangePerson(person)
  const { handle, display_name: name, visibility } = person
  const form = useForm({ initialValues: { handle, display_name: name, visibility } })
  const submit = form.onSubmit((body) => change.mutate(body, answeredIn(form, onClose)))
  return (
    <FormModal title={`${t.change}: ${handle}`} submit={texts.actions.save} isOpen isPending={change.isPending} error={change.error} onClose={onClose} onSubmit={submit}>
      <TextInput label={t.handle} description={t.handleHint} required data-autofocus {...form.getInputProps('handle')} />
      <TextInput label={t.name} {...form.getInputProps('display_name')} />
      <Select label={t.visibility} data={VISIBILITIES} allowDeselect={false} {...form.getInputProps('visibility')} />
      <ForOne of={present} onDone={onClose} />
    </FormModal>
  )
}

/** What one remote alone sees, in place of what is said for all. */
function ForOne({ of: { id }, onDone }: { of: DirectoryUserView; onDone: () => void }) {
  const set = useSetFor(id)
  const known = useInfiniteQuery(remotes).data?.pages.flatMap((page) => page.items.map((each) => each.domain)) ?? []
  const [remote, setRemote] = useState<string | null>(null)
  const [visibility, setVisibility] = useState<Visibility | null>(null)
  return (
    <>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Select label={t.remote} data={known} clearable value={remote} onChange={setRemote} />
        <Select label={t.visibility} placeholder={t.unset} clearable data={VISIBILITIES} value={visibility} onChange={setVisibility} />
      </SimpleGrid>
      {set.error && <Failed error={set.error} />}
      <Group>
        <Button
          variant="light"
          disabled={remote === null}
          loading={set.isPending}
          onClick={() => remote !== null && set.mutate({ remote, visibility }, { onSuccess: onDone })}
        >
          {t.setFor}
        </Button>
      </Group>
    </>
  )
}
