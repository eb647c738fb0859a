// Our own instances as pages read, issue and revoke them.
import { infiniteQueryOptions, useMutation } from '@tanstack/react-query'
import { answered, client } from '../../api/client'
import { queries } from '../../api/queries'
import type { IssueBody, RenewBody } from '../../api/schema.gen'

export const instances = (revoked: boolean) =>
  infiniteQueryOptions({
    queryKey: ['instances', 'list', revoked],
    queryFn: ({ pageParam }) =>
      answered(client.GET('/api/v1/instances', { params: { query: { revoked, limit: 100, after: pageParam } } })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  })

const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['instances'] }) }

export const useIssue = () =>
  useMutation({ mutationFn: (body: IssueBody) => answered(client.POST('/api/v1/instances', { body })), ...settled })

export const useRenew = (id: string) =>
  useMutation({
    mutationFn: (body: RenewBody) =>
      answered(client.POST('/api/v1/instances/{instance_id}/renew', { params: { path: { instance_id: id } }, body })),
    ...settled,
  })

export const useRevoke = (id: string) =>
  useMutation({
    mutationFn: (reason: string) =>
      answered(client.POST('/api/v1/instances/{instance_id}/revoke', { params: { path: { instance_id: id } }, body: { reason } })),
    ...settled,
  })
