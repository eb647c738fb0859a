// Addresses that no peer is given.
import { Button, Table, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { Problem } from '../../api/problem'
import type { ReservationView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { FormModal } from '../../ui/FormModal'
import { texts } from '../../ui/texts'
import { useRelease, useReserve } from './queries'

const t = texts.addresses

export function Reservations({ networkId, reserved }: { networkId: string; reserved: readonly ReservationView[] }) {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Section
      title={t.reservations}
      actions={
        <Button variant="default" onClick={form.open}>
          {t.reserve}
        </Button>
      }
    >
      {reserved.length === 0 ? (
        <Text size="sm">{t.noReservations}</Text>
      ) : (
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t.address}</Table.Th>
              <Table.Th>{t.note}</Table.Th>
              <Table.Th aria-label={t.release} />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {reserved.map((each) => (
              <Reservation key={each.address} networkId={networkId} of={each} />
            ))}
          </Table.Tbody>
        </Table>
      )}
      {isOpen && <Reserve networkId={networkId} onClose={form.close} />}
    </Section>
  )
}

function Reservation({ networkId, of: { address, note } }: { networkId: string; of: ReservationView }) {
  const release = useRelease(networkId)
  return (
    <Table.Tr>
      <Table.Td>{address}</Table.Td>
      <Table.Td>{note ? <Foreign>{note}</Foreign> : texts.states.nothing}</Table.Td>
      <Table.Td ta="right">
        <Ask label={t.release} title={`${t.release} ${address}`} move={release} given={address}>
          {t.releaseSays}
        </Ask>
      </Table.Td>
    </Table.Tr>
  )
}

function Reserve({ networkId, onClose }: { networkId: string; onClose: () => void }) {
  const reserve = useReserve(networkId)
  const form = useForm({ initialValues: { address: '', note: '' } })
  const submit = form.onSubmit((values) =>
    reserve.mutate(values, {
      onSuccess: onClose,
      onError: (error) => error instanceof Problem && form.setErrors(error.fields),
    }),
  )
  return (
    <FormModal
      title={t.reserve}
      submit={t.reserve}
      isOpen
      isPending={reserve.isPending}
      error={reserve.error}
      onClose={onClose}
      onSubmit={submit}
    >
      <TextInput label={t.address} description={t.addressHint} required data-autofocus {...form.getInputProps('address')} />
      <TextInput label={t.note} description={t.noteHint} {...form.getInputProps('note')} />
    </FormModal>
  )
}
