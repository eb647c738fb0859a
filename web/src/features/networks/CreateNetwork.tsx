// The form for a new network.
import { Accordion, Button, Group, NumberInput, Select, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Problem } from '../../api/problem'
import type { NetworkView } from '../../api/schema.gen'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { suggestion, templates, useCreateNetwork } from './queries'
import { bodyOf, DEFAULTS } from './settings'
import { SettingsFields } from './SettingsFields'

const t = texts.networks

interface Props {
  onClose: () => void
  onDone?: (made: NetworkView) => void
}

export function CreateNetwork({ onClose, onDone }: Props) {
  const create = useCreateNetwork()
  const form = useForm({ initialValues: DEFAULTS })
  const known = useQuery(templates).data?.items.map((each) => each.name) ?? []
  const done = (made: NetworkView) => {
    onClose()
    onDone?.(made)
  }
  const submit = form.onSubmit((values) =>
    create.mutate(bodyOf(values), {
      onSuccess: done,
      onError: (error) => error instanceof Problem && form.setErrors(error.fields),
    }),
  )
  return (
    <FormModal
      title={t.create}
      submit={texts.actions.create}
      isOpen
      isPending={create.isPending}
      error={create.error}
      onClose={onClose}
      onSubmit={submit}
    >
      <TextInput label={t.name} description={t.nameHint} required data-autofocus {...form.getInputProps('name')} />
      <TextInput label={t.v4} description={t.v4Hint} {...form.getInputProps('cidr_v4')} />
      <Suggest use={(range) => form.setFieldValue('cidr_v4', range)} />
      <Accordion variant="contained">
        <Accordion.Item value="more">
          <Accordion.Control>{t.more}</Accordion.Control>
          <Accordion.Panel>
            <TextInput label={t.v6} description={t.v6Hint} mb="sm" {...form.getInputProps('cidr_v6')} />
            {known.length > 0 && (
              <Select label={t.template} description={t.templateHint} mb="sm" data={known} clearable {...form.getInputProps('template')} />
            )}
            <SettingsFields form={form} />
          </Accordion.Panel>
        </Accordion.Item>
      </Accordion>
    </FormModal>
  )
}

/** Offers the next free range for as many peers as are planned for. */
function Suggest({ use }: { use: (range: string) => void }) {
  const [peers, setPeers] = useState(50)
  const found = useQuery(suggestion(peers)).data
  const range = found?.cidr_v4
  return (
    <Group align="end" gap="sm">
      <NumberInput label={t.suggestFor} w={150} min={1} value={peers} onChange={(value) => setPeers(Number(value))} />
      {range && (
        <Button variant="light" onClick={() => use(range)}>
          {`${t.suggest}: ${range}`}
        </Button>
      )}
      {found && !range && <Text size="sm">{t.noneFree}</Text>}
    </Group>
  )
}
