// A listing that is read page by page: its rows, a way to more of them, and what is said where there are none.
import { Button, Stack } from '@mantine/core'
import type { InfiniteData, UseInfiniteQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Loaded } from './Loaded'
import { Empty } from './states'
import { texts } from './texts'

interface Props<T> {
  of: UseInfiniteQueryResult<InfiniteData<{ items: T[] }>>
  none: string
  children: (items: readonly T[]) => ReactNode
}

export function Listed<T>({ of, none, children }: Props<T>) {
  return (
    <Loaded of={of}>
      {({ pages }) => {
        const items = pages.flatMap((page) => page.items)
        if (items.length === 0) return <Empty>{none}</Empty>
        return (
          <Stack>
            {children(items)}
            {of.hasNextPage && (
              <Button variant="default" loading={of.isFetchingNextPage} onClick={() => void of.fetchNextPage()}>
                {texts.actions.more}
              </Button>
            )}
          </Stack>
        )
      }}
    </Loaded>
  )
}
