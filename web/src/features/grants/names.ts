// What people call the networks and services that grants name by their ids.
import { useInfiniteQuery } from '@tanstack/react-query'
import { useNetworkChoice, type Choice } from '../networks/choice'
import { services } from '../services/queries'
import type { Names } from './words'

export function useServiceChoice(): Choice[] {
  const pages = useInfiniteQuery(services).data?.pages ?? []
  return pages.flatMap((page) => page.items).map((each) => ({ value: each.id, label: each.name }))
}

export function useNames(): Names {
  const known = new Map([...useNetworkChoice(), ...useServiceChoice()].map((each) => [each.value, each.label]))
  return (id) => known.get(id) ?? id
}
