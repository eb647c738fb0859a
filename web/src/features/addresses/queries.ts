// Reservations, and all peers of a network with their addresses.
import { queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client } from '../../api/client'
import { queries } from '../../api/queries'
import { everyPage } from '../../api/pages'

export const holders = (networkId: string) =>
  queryOptions({
    queryKey: ['addresses', networkId, 'holders'],
    queryFn: () =>
      everyPage((after) =>
        answered(client.GET('/api/v1/peers', { params: { query: { network: networkId, limit: 1000, after } } })),
      ),
  })

export const reservations = (networkId: string) =>
  queryOptions({
    queryKey: ['addresses', networkId, 'reservations'],
    queryFn: () =>
      everyPage((after) =>
        answered(
          client.GET('/api/v1/networks/{network_id}/reservations', {
            params: { path: { network_id: networkId }, query: { limit: 1000, after } },
          }),
        ),
      ),
  })

const reread = () => {
  void queries.invalidateQueries({ queryKey: ['addresses'] })
  void queries.invalidateQueries({ queryKey: ['networks'] })
}

export const useReserve = (networkId: string) =>
  useMutation({
    mutationFn: ({ address, note }: { address: string; note: string }) =>
      answered(
        client.POST('/api/v1/networks/{network_id}/reservations', {
          params: { path: { network_id: networkId } },
          body: { address, note: note || null },
        }),
      ),
    onSuccess: reread,
  })

export const useRelease = (networkId: string) =>
  useMutation({
    mutationFn: (address: string) =>
      answered(
        client.DELETE('/api/v1/networks/{network_id}/reservations/{address}', {
          params: { path: { network_id: networkId, address } },
        }),
      ),
    onSuccess: reread,
  })
