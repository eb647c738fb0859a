// Findings as pages read them.
import { infiniteQueryOptions } from '@tanstack/react-query'
import { answered, client } from '../../api/client'

export const findings = (cleared: boolean) =>
  infiniteQueryOptions({
    queryKey: ['findings', 'list', cleared],
    queryFn: ({ pageParam }) =>
      answered(client.GET('/api/v1/findings', { params: { query: { cleared, limit: 100, after: pageParam } } })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  })
