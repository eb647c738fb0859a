// Incidents as pages read and resolve them.
import { infiniteQueryOptions, queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client } from '../../api/client'
import { queries } from '../../api/queries'
import type { IncidentView } from '../../api/schema.gen'

export interface Filters {
  state?: 'open' | 'resolved'
  type?: IncidentView['type']
}

export const incidents = (filters: Filters) =>
  infiniteQueryOptions({
    queryKey: ['incidents', 'list', filters],
    queryFn: ({ pageParam }) =>
      answered(client.GET('/api/v1/incidents', { params: { query: { ...filters, limit: 100, after: pageParam } } })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  })

export const incident = (id: string) =>
  queryOptions({
    queryKey: ['incidents', id],
    queryFn: () => answered(client.GET('/api/v1/incidents/{incident_id}', { params: { path: { incident_id: id } } })),
  })

export const useResolve = (id: string) =>
  useMutation({
    mutationFn: (reason: string) =>
      answered(
        client.POST('/api/v1/incidents/{incident_id}/resolve', {
          params: { path: { incident_id: id } },
          body: { reason },
        }),
      ),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ['incidents'] })
      void queries.invalidateQueries({ queryKey: ['peers'] })
    },
  })
