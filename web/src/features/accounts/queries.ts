// Accounts as their page reads, makes, changes and ends them.
import { infiniteQueryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { queries } from '../../api/queries'
import type { AccountBody, AccountPatch, AccountView } from '../../api/schema.gen'

export type Role = AccountView['role']

export const accounts = infiniteQueryOptions({
  queryKey: ['accounts', 'list'],
  queryFn: ({ pageParam }) => answered(client.GET('/api/v1/accounts', { params: { query: { limit: 100, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['accounts'] }) }

export const useCreateAccount = () =>
  useMutation({ mutationFn: (body: AccountBody) => answered(client.POST('/api/v1/accounts', { body })), ...settled })

export const useChangeAccount = ({ id, version }: AccountView) =>
  useMutation({
    mutationFn: (body: AccountPatch) =>
      answered(
        client.PATCH('/api/v1/accounts/{account_id}', { params: { path: { account_id: id }, header: { 'if-match': etag(version) } }, body }),
      ),
    ...settled,
  })

export const useNewPassword = (id: string) =>
  useMutation({
    mutationFn: () => answered(client.POST('/api/v1/accounts/{account_id}/password', { params: { path: { account_id: id } } })),
    ...settled,
  })

export const useDeleteAccount = (id: string) =>
  useMutation({
    mutationFn: () => answered(client.DELETE('/api/v1/accounts/{account_id}', { params: { path: { account_id: id } } })),
    ...settled,
  })
