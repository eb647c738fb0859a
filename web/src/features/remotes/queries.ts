// Remotes and invitations as pages read and change them.
import { infiniteQueryOptions, queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { queries } from '../../api/queries'
import type { MessageView, RemotePatch, RevocationBody } from '../../api/schema.gen'

const PAGE = 100

export const remotes = infiniteQueryOptions({
  queryKey: ['remotes', 'list'],
  queryFn: ({ pageParam }) => answered(client.GET('/api/v1/remotes', { params: { query: { limit: PAGE, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

export const invitations = infiniteQueryOptions({
  queryKey: ['remotes', 'invitations'],
  queryFn: ({ pageParam }) =>
    answered(client.GET('/api/v1/remotes/invitations', { params: { query: { limit: PAGE, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

const at = (domain: string) => ({ path: { domain } })

export const remote = (domain: string) =>
  queryOptions({
    queryKey: ['remotes', 'one', domain],
    queryFn: () => answered(client.GET('/api/v1/remotes/{domain}', { params: at(domain) })),
  })

const reread = () => {
  void queries.invalidateQueries({ queryKey: ['remotes'] })
  void queries.invalidateQueries({ queryKey: ['bridges'] })
}
const settled = { onSettled: reread }

export const useInvite = () =>
  useMutation({
    mutationFn: (body: { domain: string; lifetime: number; network_id: string | null }) =>
      answered(client.POST('/api/v1/remotes/invitations', { body })),
    ...settled,
  })

export const useWithdraw = () =>
  useMutation({
    mutationFn: (id: string) =>
      answered(client.DELETE('/api/v1/remotes/invitations/{invitation_id}', { params: { path: { invitation_id: id } } })),
    ...settled,
  })

export const useAccept = () =>
  useMutation({
    mutationFn: (body: { invitation: string; network_id: string | null }) =>
      answered(client.POST('/api/v1/remotes/accept', { body })),
    ...settled,
  })

export const useAddShared = () =>
  useMutation({
    mutationFn: (body: { domain: string; infra_domains: string[] }) => answered(client.POST('/api/v1/remotes', { body })),
    ...settled,
  })

export const useConfirm = (domain: string) =>
  useMutation({
    mutationFn: (code: string) =>
      answered(client.POST('/api/v1/remotes/{domain}/confirm', { params: at(domain), body: { short_code: code } })),
    ...settled,
  })

export const useChangeRemote = (domain: string, version: number) =>
  useMutation({
    mutationFn: (body: RemotePatch) =>
      answered(
        client.PATCH('/api/v1/remotes/{domain}', { params: { ...at(domain), header: { 'if-match': etag(version) } }, body }),
      ),
    ...settled,
  })

const MOVES = {
  suspend: '/api/v1/remotes/{domain}/suspend',
  resume: '/api/v1/remotes/{domain}/resume',
  revoke: '/api/v1/remotes/{domain}/revoke',
} as const

export const useMove = (domain: string, move: keyof typeof MOVES) =>
  useMutation({ mutationFn: () => answered(client.POST(MOVES[move], { params: at(domain) })), ...settled })

export const useRemove = (domain: string) =>
  useMutation({
    mutationFn: () => answered(client.DELETE('/api/v1/remotes/{domain}', { params: at(domain) })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['remotes', 'list'] }),
  })

export const useDoctor = (domain: string) =>
  useMutation({ mutationFn: () => answered(client.POST('/api/v1/remotes/{domain}/doctor', { params: at(domain) })) })

export const useBlock = (domain: string, instance: string) =>
  useMutation({
    mutationFn: (reason: string) =>
      answered(
        client.POST('/api/v1/remotes/{domain}/instances/{instance}/block', {
          params: { path: { domain, instance } },
          body: { reason },
        }),
      ),
    ...settled,
  })

export const useUnblock = (domain: string, instance: string) =>
  useMutation({
    mutationFn: () =>
      answered(client.DELETE('/api/v1/remotes/{domain}/instances/{instance}/block', { params: { path: { domain, instance } } })),
    ...settled,
  })

export const useRetry = (domain: string) =>
  useMutation({
    mutationFn: () => answered(client.POST('/api/v1/remotes/{domain}/messages/retry', { params: at(domain) })),
    ...settled,
  })

export const useDrop = (domain: string, lane: MessageView['lane'], number: number) =>
  useMutation({
    mutationFn: (reason: string) =>
      answered(
        client.POST('/api/v1/remotes/{domain}/messages/{lane}/{number}/drop', {
          params: { path: { domain, lane, number } },
          body: { reason },
        }),
      ),
    ...settled,
  })

export const useRevokeLeaf = (domain: string) =>
  useMutation({
    mutationFn: (body: RevocationBody) =>
      answered(client.POST('/api/v1/remotes/{domain}/revocations', { params: at(domain), body })),
    ...settled,
  })
