// The three ends of reading something, so that no page forgets one.
import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Failed, Loading } from './states'

interface Props<T> {
  of: UseQueryResult<T>
  children: (value: T) => ReactNode
  rows?: number
}

/** `children` with what was read; what was read before stays on the screen while it is read again. */
export function Loaded<T>({ of, children, rows }: Props<T>) {
  if (of.data !== undefined) return <>{children(of.data)}</>
  if (of.error) return <Failed error={of.error} retry={() => void of.refetch()} />
  return <Loading {...(rows === undefined ? {} : { rows })} />
}
