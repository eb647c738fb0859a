// The map of a network as pages read it.
import { queryOptions } from '@tanstack/react-query'
import { answered, client } from '../../api/client'

/** Ways change without a notice. */
const LOOK_AGAIN = 10_000

export const topology = (networkId: string) =>
  queryOptions({
    queryKey: ['topology', networkId],
    queryFn: () =>
      answered(client.GET('/api/v1/networks/{network_id}/topology', { params: { path: { network_id: networkId } } })),
    refetchInterval: LOOK_AGAIN,
  })
