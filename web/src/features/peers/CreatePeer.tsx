// The form for a new peer, and what its owner is handed afterwards.
import { Accordion, Checkbox, NumberInput, Radio, Select, SimpleGrid, Stack, TextInput } from '@mantine/core'
import { useForm, type UseFormReturnType } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Problem } from '../../api/problem'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { networks } from '../networks/queries'
import { bodyOf, fresh, type Settings } from './form'
import { Handout } from './Handout'
import { PeerFields } from './PeerFields'
import { useCreatePeer } from './queries'

const t = texts.peers
const KINDS = ['dynamic', 'static', 'jump'] as const

interface Props {
  networkId?: string
  kind?: Settings['kind']
  onClose: () => void
}

export function CreatePeer({ networkId, kind = 'dynamic', onClose }: Props) {
  const create = useCreatePeer()
  const known = useQuery(networks).data?.items ?? []
  const [chosen, choose] = useState(networkId ?? null)
  const network = chosen ?? known[0]?.id ?? ''
  const form = useForm({ initialValues: fresh(kind) })
  const submit = form.onSubmit((values) =>
    create.mutate(
      { network, body: bodyOf(values) },
      { onError: (error) => error instanceof Problem && form.setErrors(error.fields) },
    ),
  )
  if (create.data) return <Handout of={create.data} onClose={onClose} />
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
      <Select
        label={t.network}
        allowDeselect={false}
        data={known.map((each) => ({ value: each.id, label: each.name }))}
        value={network}
        onChange={choose}
      />
      <Radio.Group label={t.kind} {...form.getInputProps('kind')}>
        <Stack gap="xs" mt={4}>
          {KINDS.map((each) => (
            <Radio key={each} value={each} label={t.kinds[each]} description={t.kindHints[each]} />
          ))}
        </Stack>
      </Radio.Group>
      <TextInput label={t.name} description={t.nameHint} required data-autofocus {...form.getInputProps('name')} />
      {form.values.kind !== 'static' && (
        <TextInput
          label={t.endpoint}
          description={t.endpointHint}
          required={form.values.kind === 'jump'}
          {...form.getInputProps('endpoint')}
        />
      )}
      <More form={form} />
    </FormModal>
  )
}

function More({ form }: { form: UseFormReturnType<Settings> }) {
  return (
    <Accordion variant="contained">
      <Accordion.Item value="more">
        <Accordion.Control>{t.more}</Accordion.Control>
        <Accordion.Panel>
          <Stack>
            {form.values.kind === 'static' ? (
              <>
                <TextInput label={t.publicKey} description={t.publicKeyHint} {...form.getInputProps('public_key')} />
                <Checkbox label={t.keepKey} {...form.getInputProps('keep_private_key', { type: 'checkbox' })} />
              </>
            ) : (
              <NumberInput label={t.lifetime} min={1} {...form.getInputProps('hours')} />
            )}
            <SimpleGrid cols={{ base: 1, xs: 2 }}>
              <TextInput label={t.v4} description={t.addressHint} {...form.getInputProps('address_v4')} />
              <TextInput label={t.v6} description={t.addressHint} {...form.getInputProps('address_v6')} />
            </SimpleGrid>
            <PeerFields form={form} />
          </Stack>
        </Accordion.Panel>
      </Accordion.Item>
    </Accordion>
  )
}
