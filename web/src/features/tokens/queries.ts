// API tokens as their page reads, makes and revokes them.
import { infiniteQueryOptions, useMutation } from '@tanstack/react-query'
import { answered, client } from '../../api/client'
import { queries } from '../../api/queries'
import type { TokenBody } from '../../api/schema.gen'

export type Scope = TokenBody['scopes'][number]

export const tokens = infiniteQueryOptions({
  queryKey: ['tokens', 'list'],
  queryFn: ({ pageParam }) => answered(client.GET('/api/v1/tokens', { params: { query: { limit: 100, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['tokens'] }) }

export const useCreateToken = () =>
  useMutation({ mutationFn: (body: TokenBody) => answered(client.POST('/api/v1/tokens', { body })), ...settled })

export const useDeleteToken = () =>
  useMutation({
    mutationFn: (id: string) => answered(client.DELETE('/api/v1/tokens/{token_id}', { params: { path: { token_id: id } } })),
    ...settled,
  })
