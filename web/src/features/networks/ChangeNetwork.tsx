// The form that changes a network.
import { Accordion, Checkbox, NumberInput, Select, SimpleGrid, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { Problem } from '../../api/problem'
import type { NetworkUpdatedView, NetworkView } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { jumpPeers, useChangeNetwork } from './queries'
import { patchOf, settingsOf } from './settings'
import { SettingsFields } from './SettingsFields'

const t = texts.networks
const LIMITS = ['address_changes', 'address_window', 'port_changes', 'port_window', 'return_window'] as const

interface Props {
  network: NetworkView
  onClose: () => void
  onDone: (changed: NetworkUpdatedView) => void
}

export function ChangeNetwork({ network: present, onClose, onDone }: Props) {
  const network = useOpened(present)
  const change = useChangeNetwork(network)
  const before = settingsOf(network)
  const form = useForm({ initialValues: before })
  const jumps = useQuery(jumpPeers(network.id)).data?.items ?? []
  const done = (changed: NetworkUpdatedView) => {
    onClose()
    onDone(changed)
  }
  const submit = form.onSubmit((values) =>
    change.mutate(patchOf(values, before), {
      onSuccess: done,
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
      <TextInput label={t.name} required data-autofocus {...form.getInputProps('name')} />
      <TextInput label={t.v4} description={t.v4Renumbers} {...form.getInputProps('cidr_v4')} />
      <Checkbox label={t.force} {...form.getInputProps('force', { type: 'checkbox' })} />
      <Select
        label={t.primary}
        placeholder={t.automatic}
        clearable
        data={jumps.map((each) => ({ value: each.id, label: each.name }))}
        {...form.getInputProps('primary_id')}
      />
      <SettingsFields form={form} />
      <Accordion variant="contained">
        <Accordion.Item value="limits">
          <Accordion.Control>{t.limits}</Accordion.Control>
          <Accordion.Panel>
            <SimpleGrid cols={{ base: 1, xs: 2 }}>
              {LIMITS.map((each) => (
                <NumberInput key={each} label={t.limitNames[each]} min={1} {...form.getInputProps(`limits.${each}`)} />
              ))}
            </SimpleGrid>
          </Accordion.Panel>
        </Accordion.Item>
      </Accordion>
    </FormModal>
  )
}
