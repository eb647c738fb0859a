// Networks as pages read and change them.
import { queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { Problem } from '../../api/problem'
import { queries } from '../../api/queries'
import type { NetworkBody, NetworkPatch, NetworkView } from '../../api/schema.gen'

export const networks = queryOptions({
  queryKey: ['networks'],
  queryFn: () => answered(client.GET('/api/v1/networks', { params: { query: { limit: 1000 } } })),
})

export const network = (id: string) =>
  queryOptions({
    queryKey: ['networks', id],
    queryFn: () => answered(client.GET('/api/v1/networks/{network_id}', { params: { path: { network_id: id } } })),
  })

export const templates = queryOptions({
  queryKey: ['templates'],
  queryFn: () => answered(client.GET('/api/v1/network-templates', { params: { query: { limit: 1000 } } })),
})

/** The lowest free IPv4 range for a number of peers. */
export const suggestion = (peers: number) =>
  queryOptions({
    queryKey: ['networks', 'suggestion', peers],
    queryFn: () => answered(client.GET('/api/v1/network-suggestion', { params: { query: { peers } } })),
    enabled: peers >= 1,
  })

export const jumpPeers = (networkId: string) =>
  queryOptions({
    queryKey: ['peers', 'jump', networkId],
    queryFn: () =>
      answered(client.GET('/api/v1/peers', { params: { query: { network: networkId, kind: 'jump', limit: 1000 } } })),
  })

/** Whose host answers calls of bridged remotes; null where none does. */
export const ingress = (networkId: string) =>
  queryOptions({
    queryKey: ['networks', networkId, 'ingress'],
    queryFn: async () => {
      const call = client.GET('/api/v1/networks/{network_id}/ingress', { params: { path: { network_id: networkId } } })
      try {
        return await answered(call)
      } catch (error) {
        if (error instanceof Problem && error.status === 404) return null
        throw error
      }
    },
  })

const reread = () => queries.invalidateQueries({ queryKey: ['networks'] })

export const useCreateNetwork = () =>
  useMutation({
    mutationFn: (body: NetworkBody) => answered(client.POST('/api/v1/networks', { body })),
    onSuccess: reread,
  })

export const useChangeNetwork = ({ id, version }: Pick<NetworkView, 'id' | 'version'>) =>
  useMutation({
    mutationFn: (body: NetworkPatch) =>
      answered(
        client.PATCH('/api/v1/networks/{network_id}', {
          params: { path: { network_id: id }, header: { 'if-match': etag(version) } },
          body,
        }),
      ),
    onSuccess: reread,
  })

export const useDeleteNetwork = (id: string) =>
  useMutation({
    mutationFn: (force: boolean) =>
      answered(
        client.DELETE('/api/v1/networks/{network_id}', { params: { path: { network_id: id }, query: { force } } }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['networks'], exact: true }),
  })

export const usePlaceIngress = (id: string) =>
  useMutation({
    mutationFn: (body: { peer_id: string; port: number }) =>
      answered(client.PUT('/api/v1/networks/{network_id}/ingress', { params: { path: { network_id: id } }, body })),
    onSuccess: reread,
  })

export const useWithdrawIngress = (id: string) =>
  useMutation({
    mutationFn: () =>
      answered(client.DELETE('/api/v1/networks/{network_id}/ingress', { params: { path: { network_id: id } } })),
    onSuccess: reread,
  })
