// The three ends of reading something, so that no page forgets one.
import { useQueryClient, type Query, type UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Failed, Loading } from './states'

interface Props<T> {
  of: UseQueryResult<T>
  children: (value: T) => ReactNode
  rows?: number
}

const hasFailed = (query: Query): boolean => query.state.status === 'error'

/** `children` with what was read; what was read before stays on the screen while it is read again. */
export function Loaded<T>({ of, children, rows }: Props<T>) {
  const client = useQueryClient()
  // What failed on a page failed together as a rule, so that one try is for all of it.
  const retry = () => void client.refetchQueries({ type: 'active', predicate: hasFailed })
  if (of.data !== undefined) return <>{children(of.data)}</>
  if (of.error) return <Failed error={of.error} retry={retry} isTrying={of.isFetching} />
  return <Loading {...(rows === undefined ? {} : { rows })} />
}
