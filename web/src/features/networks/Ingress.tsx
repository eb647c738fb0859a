// Whose host answers calls of bridged remotes inside the network.
import { Button, NumberInput, Select, Text } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { answered, client } from '../../api/client'
import { Problem } from '../../api/problem'
import { Ask } from '../../ui/Ask'
import { Facts, Section } from '../../ui/Facts'
import { FormModal } from '../../ui/FormModal'
import { Loaded } from '../../ui/Loaded'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { ingress, usePlaceIngress, useWithdrawIngress } from './queries'

const t = texts.networks
const PORT = 8443

const enrolledPeers = (networkId: string) => ({
  queryKey: ['peers', 'enrolled', networkId],
  queryFn: () =>
    answered(client.GET('/api/v1/peers', { params: { query: { network: networkId, enrolled: true, limit: 1000 } } })),
})

export function Ingress({ networkId }: { networkId: string }) {
  const [isOpen, form] = useDisclosure(false)
  const withdraw = useWithdrawIngress(networkId)
  return (
    <Section
      title={t.ingress}
      actions={
        <Button variant="default" onClick={form.open}>
          {t.ingressPlace}
        </Button>
      }
    >
      <Loaded of={useQuery(ingress(networkId))} rows={1}>
        {(placed) =>
          placed === null ? (
            <Text size="sm">{t.ingressNone}</Text>
          ) : (
            <>
              <Facts
                facts={[
                  [t.ingressAt, <To key="peer" to="/peers/$peerId" params={{ peerId: placed.peer.id }}>{placed.peer.name}</To>],
                  [t.addresses, placed.addresses.join(', ')],
                  [t.ingressPort, placed.port],
                ]}
              />
              <Ask label={t.ingressWithdraw} title={t.ingress} move={withdraw} given={undefined}>
                {t.ingressCuts}
              </Ask>
            </>
          )
        }
      </Loaded>
      {isOpen && <Place networkId={networkId} onClose={form.close} />}
    </Section>
  )
}

function Place({ networkId, onClose }: { networkId: string; onClose: () => void }) {
  const place = usePlaceIngress(networkId)
  const peers = useQuery(enrolledPeers(networkId)).data?.items ?? []
  const form = useForm({ initialValues: { peer_id: '', port: PORT } })
  const submit = form.onSubmit((values) =>
    place.mutate(values, {
      onSuccess: onClose,
      onError: (error) => error instanceof Problem && form.setErrors(error.fields),
    }),
  )
  return (
    <FormModal
      title={t.ingressPlace}
      submit={texts.actions.save}
      isOpen
      isPending={place.isPending}
      error={place.error}
      onClose={onClose}
      onSubmit={submit}
    >
      <Select
        label={t.ingressAt}
        searchable
        required
        data={peers.map((each) => ({ value: each.id, label: each.name }))}
        {...form.getInputProps('peer_id')}
      />
      <NumberInput label={t.ingressPort} min={1} max={65535} {...form.getInputProps('port')} />
    </FormModal>
  )
}
