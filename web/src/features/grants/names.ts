// What people call the networks and services that grants name by their ids.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { networks } from '../networks/queries'
import { services } from '../services/queries'
import type { Names } from './words'

export interface Choice {
  value: string
  label: string
}

export function useNetworkChoice(): Choice[] {
  return useQuery(networks).data?.items.map((each) => ({ value: each.id, label: each.name })) ?? []
}

export function useServiceChoice(): Choice[] {
  const pages = useInfiniteQuery(services).data?.pages ?? []
  return pages.flatMap((page) => page.items).map((each) => ({ value: each.id, label: each.name }))
}

export function useNames(): Names {
  const known = new Map([...useNetworkChoice(), ...useServiceChoice()].map((each) => [each.value, each.label]))
  return (id) => known.get(id) ?? id
}
