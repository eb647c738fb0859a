// Services as pages read and change them.
import { infiniteQueryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { queries } from '../../api/queries'
import type { ServiceBody, ServicePatch, ServiceView } from '../../api/schema.gen'

export const services = infiniteQueryOptions({
  queryKey: ['services', 'list'],
  queryFn: ({ pageParam }) => answered(client.GET('/api/v1/services', { params: { query: { limit: 1000, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['services'] }) }

export const useCreateService = () =>
  useMutation({ mutationFn: (body: ServiceBody) => answered(client.POST('/api/v1/services', { body })), ...settled })

export const useChangeService = ({ id, version }: ServiceView) =>
  useMutation({
    mutationFn: (body: ServicePatch) =>
      answered(
        client.PATCH('/api/v1/services/{service_id}', {
          params: { path: { service_id: id }, header: { 'if-match': etag(version) } },
          body,
        }),
      ),
    ...settled,
  })

export const useDeleteService = (id: string) =>
  useMutation({
    mutationFn: () => answered(client.DELETE('/api/v1/services/{service_id}', { params: { path: { service_id: id } } })),
    ...settled,
  })
