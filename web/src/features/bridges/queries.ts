// Bridges as pages read and move them.
import { infiniteQueryOptions, queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { queries } from '../../api/queries'
import type { AcceptanceBody, BridgeView, ProposalBody } from '../../api/schema.gen'

const LOOK_AGAIN = 5_000

export const bridges = infiniteQueryOptions({
  queryKey: ['bridges', 'list'],
  queryFn: ({ pageParam }) => answered(client.GET('/api/v1/bridges', { params: { query: { limit: 100, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

export const bridge = (id: string) =>
  queryOptions({
    queryKey: ['bridges', 'one', id],
    queryFn: () => answered(client.GET('/api/v1/bridges/{bridge_id}', { params: { path: { bridge_id: id } } })),
  })

/** What gateways report of it, of which no notice tells. */
export const status = (id: string) =>
  queryOptions({
    queryKey: ['bridges', 'status', id],
    queryFn: () => answered(client.GET('/api/v1/bridges/{bridge_id}/status', { params: { path: { bridge_id: id } } })),
    refetchInterval: LOOK_AGAIN,
  })

const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['bridges'] }) }
const at = ({ id, version }: BridgeView) => ({ path: { bridge_id: id }, header: { 'if-match': etag(version) } })

export const usePropose = () =>
  useMutation({
    mutationFn: (body: ProposalBody) => answered(client.POST('/api/v1/bridges', { body })),
    ...settled,
  })

export const useAcceptBridge = (of: BridgeView) =>
  useMutation({
    mutationFn: (body: AcceptanceBody) =>
      answered(client.POST('/api/v1/bridges/{bridge_id}/accept', { params: at(of), body })),
    ...settled,
  })

export const useLetIn = (of: BridgeView) =>
  useMutation({
    mutationFn: (prefixes: string[]) =>
      answered(client.POST('/api/v1/bridges/{bridge_id}/accept-prefixes', { params: at(of), body: { prefixes } })),
    ...settled,
  })

const MOVES = {
  suspend: '/api/v1/bridges/{bridge_id}/suspend',
  resume: '/api/v1/bridges/{bridge_id}/resume',
  hold: '/api/v1/bridges/{bridge_id}/hold',
  release: '/api/v1/bridges/{bridge_id}/release',
  revoke: '/api/v1/bridges/{bridge_id}/revoke',
} as const
export type Cut = keyof typeof MOVES

export const useMove = (of: BridgeView, move: Cut) =>
  useMutation({
    mutationFn: (reason: string) => answered(client.POST(MOVES[move], { params: at(of), body: { reason } })),
    ...settled,
  })
