// Peers as pages read and change them.
import { infiniteQueryOptions, queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { queries } from '../../api/queries'
import type { BulkBody, PeerBody, PeerPatch, PeerView } from '../../api/schema.gen'
import type { Filters } from './filters'

const PAGE = 200
/** States of peers change with time alone, of which no notice tells. */
const LOOK_AGAIN = 15_000

/** The peers that fit, page by page from the server, in the order they were made. */
export const peers = (filters: Filters) =>
  infiniteQueryOptions({
    queryKey: ['peers', 'list', filters],
    queryFn: ({ pageParam }) => {
      const { label, ...rest } = filters
      const query = { ...rest, ...(label ? { label: [label] } : {}), limit: PAGE, after: pageParam }
      return answered(client.GET('/api/v1/peers', { params: { query } }))
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    refetchInterval: LOOK_AGAIN,
  })

export const peer = (id: string) =>
  queryOptions({
    queryKey: ['peers', id],
    queryFn: () => answered(client.GET('/api/v1/peers/{peer_id}', { params: { path: { peer_id: id } } })),
    refetchInterval: LOOK_AGAIN,
  })

export const groups = queryOptions({
  queryKey: ['peers', 'groups'],
  queryFn: () => answered(client.GET('/api/v1/groups', { params: { query: { limit: 1000 } } })),
})

export const paths = (id: string) =>
  queryOptions({
    queryKey: ['paths', id],
    queryFn: () =>
      answered(client.GET('/api/v1/peers/{peer_id}/paths', { params: { path: { peer_id: id }, query: { limit: 1000 } } })),
    refetchInterval: LOOK_AGAIN,
  })

export const history = (id: string) =>
  infiniteQueryOptions({
    queryKey: ['peers', id, 'history'],
    queryFn: ({ pageParam }) =>
      answered(
        client.GET('/api/v1/peers/{peer_id}/config-revisions', {
          params: { path: { peer_id: id }, query: { limit: 20, before: pageParam } },
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.next ? page.items.at(-1)?.revision : undefined),
  })

/** What changed between a revision and the one before it. */
export const difference = (id: string, revision: number, before: number) =>
  queryOptions({
    queryKey: ['peers', id, 'difference', before, revision],
    queryFn: () =>
      answered(
        client.GET('/api/v1/peers/{peer_id}/config-revisions/{revision}/diff', {
          params: { path: { peer_id: id, revision: before }, query: { to: revision } },
        }),
      ),
    staleTime: Infinity,
  })

export const configAt = (id: string, revision: number) =>
  queryOptions({
    queryKey: ['peers', id, 'config', revision],
    queryFn: () =>
      answered(
        client.GET('/api/v1/peers/{peer_id}/config-revisions/{revision}', {
          params: { path: { peer_id: id, revision } },
        }),
      ),
    staleTime: Infinity,
  })

export const openIncidents = (id: string) =>
  queryOptions({
    queryKey: ['incidents', 'of', id],
    queryFn: () =>
      answered(client.GET('/api/v1/incidents', { params: { query: { peer: id, state: 'open', limit: 100 } } })),
  })

const reread = () => queries.invalidateQueries({ queryKey: ['peers'] })
const at = (id: string) => ({ params: { path: { peer_id: id } } })

export const useCreatePeer = () =>
  useMutation({
    mutationFn: ({ network, body }: { network: string; body: PeerBody }) =>
      answered(client.POST('/api/v1/networks/{network_id}/peers', { params: { path: { network_id: network } }, body })),
    onSuccess: reread,
  })

export const useChangePeer = ({ id, version }: PeerView) =>
  useMutation({
    mutationFn: (body: PeerPatch) =>
      answered(
        client.PATCH('/api/v1/peers/{peer_id}', {
          params: { path: { peer_id: id }, header: { 'if-match': etag(version) } },
          body,
        }),
      ),
    onSuccess: reread,
  })

export const useDeletePeer = (id: string) =>
  useMutation({
    mutationFn: (force: boolean) =>
      answered(client.DELETE('/api/v1/peers/{peer_id}', { params: { path: { peer_id: id }, query: { force } } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['peers', 'list'] }),
  })

export const useNewToken = (id: string) =>
  useMutation({
    mutationFn: (lifetime: number) =>
      answered(client.POST('/api/v1/peers/{peer_id}/enrollment-token', { ...at(id), body: { lifetime } })),
    onSuccess: reread,
  })

export const useRegenerate = (id: string) =>
  useMutation({
    mutationFn: () => answered(client.POST('/api/v1/peers/{peer_id}/config/regenerate', at(id))),
    onSuccess: reread,
  })

/** The kept config of a static peer; read only when it is asked for, and never kept here. */
export const useShowConfig = (id: string) =>
  useMutation({ mutationFn: () => answered(client.GET('/api/v1/peers/{peer_id}/config', at(id))) })

export const useRotateKey = (id: string) =>
  useMutation({
    mutationFn: (force: boolean) =>
      answered(
        client.POST('/api/v1/peers/{peer_id}/rotate-key', { params: { path: { peer_id: id }, query: { force } } }),
      ),
    onSuccess: reread,
  })

export const useEndSession = (id: string) =>
  useMutation({
    mutationFn: () => answered(client.DELETE('/api/v1/peers/{peer_id}/session', at(id))),
    onSuccess: reread,
  })

/** Several peers of one network: all of it is done, or nothing. */
export const useBulk = (networkId: string) =>
  useMutation({
    mutationFn: (operations: BulkBody['operations']) =>
      answered(
        client.POST('/api/v1/networks/{network_id}/peers/bulk', {
          params: { path: { network_id: networkId } },
          body: { operations },
        }),
      ),
    onSuccess: reread,
  })
