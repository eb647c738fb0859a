// Who gets in, with which role and for which networks; and the password, shown once.
import { Button, Group, Modal, MultiSelect, Select, Stack, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { answeredIn } from '../../api/forms'
import type { AccountView, WelcomeView } from '../../api/schema.gen'
import { Copied } from '../../ui/Copied'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { networks } from '../networks/queries'
import { useChangeAccount, useCreateAccount, type Role } from './queries'

const t = texts.accounts
const ROLES = Object.entries(t.roles).map(([value, label]) => ({ value: value as Role, label }))

export const isOfNetworks = (role: Role): boolean => role === 'network_admin' || role === 'user'

interface Draft {
  username: string
  role: Role
  networks: string[]
}

/** A role that is for everywhere takes no networks. */
const whereOf = ({ role, networks: chosen }: Draft) => (isOfNetworks(role) ? chosen : [])

export function CreateAccount({ onClose, onMade }: { onClose: () => void; onMade: (made: WelcomeView) => void }) {
  const create = useCreateAccount()
  const form = useForm<Draft>({ initialValues: { username: '', role: 'user', networks: [] } })
  const submit = form.onSubmit((draft) => create.mutate({ ...draft, networks: whereOf(draft) }, answeredIn(form, onMade)))
  return (
    <FormModal title={t.create} submit={texts.actions.create} isOpen isPending={create.isPending} error={create.error} onClose={onClose} onSubmit={submit}>
      <TextInput label={t.name} required data-autofocus {...form.getInputProps('username')} />
      <Rights role={form.values.role} props={form.getInputProps} />
    </FormModal>
  )
}

export function ChangeAccount({ of: present, onClose }: { of: AccountView; onClose: () => void }) {
  const account = useOpened(present)
  const change = useChangeAccount(account)
  const { name, role, networks: chosen } = account
  const form = useForm<Draft>({ initialValues: { username: name, role, networks: chosen } })
  const submit = form.onSubmit((draft) => change.mutate({ role: draft.role, networks: whereOf(draft) }, answeredIn(form, onClose)))
  return (
    <FormModal title={`${t.change}: ${name}`} submit={texts.actions.save} isOpen isPending={change.isPending} error={change.error} onClose={onClose} onSubmit={submit}>
      <Rights role={form.values.role} props={form.getInputProps} />
    </FormModal>
  )
}

function Rights({ role, props }: { role: Role; props: (field: 'role' | 'networks') => object }) {
  const known = useQuery(networks)
  const choices = known.data?.items.map(({ id, name }) => ({ value: id, label: name })) ?? []
  return (
    <>
      <Select label={t.role} description={t.roleSays[role]} data={ROLES} allowDeselect={false} {...props('role')} />
      {isOfNetworks(role) && <MultiSelect label={t.networks} description={t.networksHint} data={choices} searchable {...props('networks')} />}
    </>
  )
}

export function Welcome({ made, onClose }: { made: WelcomeView; onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title={`${t.once}: ${made.account.name}`} size="lg" closeOnClickOutside={false} withCloseButton={false}>
      <Stack>
        <Copied label={t.password}>{made.password}</Copied>
        <Text size="sm">{t.onceSays}</Text>
        <Group justify="flex-end">
          <Button onClick={onClose}>{t.close}</Button>
        </Group>
      </Stack>
    </Modal>
  )
}
