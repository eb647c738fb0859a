// Grants as pages read, give and take them back.
import { infiniteQueryOptions, queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { queries } from '../../api/queries'
import type { ExplainBody, GrantBody, GrantPatch, GrantView } from '../../api/schema.gen'

export const grants = infiniteQueryOptions({
  queryKey: ['grants', 'list'],
  queryFn: ({ pageParam }) => answered(client.GET('/api/v1/grants', { params: { query: { limit: 100, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

export const held = infiniteQueryOptions({
  queryKey: ['grants', 'held'],
  queryFn: ({ pageParam }) =>
    answered(client.GET('/api/v1/grants/held', { params: { query: { limit: 100, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

const at = (id: string) => ({ path: { grant_id: id } })

export const grant = (id: string) =>
  queryOptions({
    queryKey: ['grants', 'one', id],
    queryFn: () => answered(client.GET('/api/v1/grants/{grant_id}', { params: at(id) })),
  })

const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['grants'] }) }

export const useCreateGrant = () =>
  useMutation({ mutationFn: (body: GrantBody) => answered(client.POST('/api/v1/grants', { body })), ...settled })

export const useChangeGrant = ({ id, version }: Pick<GrantView, 'id' | 'version'>) =>
  useMutation({
    mutationFn: (body: GrantPatch) =>
      answered(
        client.PATCH('/api/v1/grants/{grant_id}', { params: { ...at(id), header: { 'if-match': etag(version) } }, body }),
      ),
    ...settled,
  })

export const useRevoke = (id: string) =>
  useMutation({
    mutationFn: (reason: string) =>
      answered(client.POST('/api/v1/grants/{grant_id}/revoke', { params: at(id), body: { reason } })),
    ...settled,
  })

export const useRotate = (id: string) =>
  useMutation({
    mutationFn: (overlap: number) =>
      answered(client.POST('/api/v1/grants/{grant_id}/rotate', { params: at(id), body: { overlap } })),
    ...settled,
  })

export const useDropToken = (id: string) =>
  useMutation({
    mutationFn: (publicId: string) =>
      answered(
        client.DELETE('/api/v1/grants/{grant_id}/tokens/{public_id}', {
          params: { path: { grant_id: id, public_id: publicId } },
        }),
      ),
    ...settled,
  })

export const useExplain = (id: string) =>
  useMutation({
    mutationFn: (body: ExplainBody) =>
      answered(client.POST('/api/v1/grants/{grant_id}/explain', { params: at(id), body })),
  })
