// The audit log as its page reads it.
import { infiniteQueryOptions, queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client } from '../../api/client'

export interface Filters {
  action?: string
  actor?: string
  subject?: string
  outcome?: 'done' | 'denied'
  since?: string
  until?: string
}

/** Newest first. */
export const entries = (filters: Filters) =>
  infiniteQueryOptions({
    queryKey: ['audit', 'list', filters],
    queryFn: ({ pageParam }) =>
      answered(client.GET('/api/v1/audit', { params: { query: { ...filters, limit: 100, before: pageParam } } })),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.next ? Number(page.next) : null),
  })

export const chain = queryOptions({
  queryKey: ['audit', 'chain'],
  queryFn: () => answered(client.GET('/api/v1/audit/chain')),
})

export const useAskWitnesses = () =>
  useMutation({ mutationFn: () => answered(client.POST('/api/v1/audit/witnesses/ask')) })
