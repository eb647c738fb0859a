// All networks as a field offers them to choose from.
import { useQuery } from '@tanstack/react-query'
import { networks } from './queries'

export interface Choice {
  value: string
  label: string
}

export function useNetworkChoice(): Choice[] {
  return useQuery(networks).data?.items.map((each) => ({ value: each.id, label: each.name })) ?? []
}
