// Networks as pages read them.
import { queryOptions } from '@tanstack/react-query'
import { answered, client } from '../../api/client'

export const networks = queryOptions({
  queryKey: ['networks'],
  queryFn: () => answered(client.GET('/api/v1/networks', { params: { query: { limit: 1000 } } })),
})
