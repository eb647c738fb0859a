// What stands around the pages for people who are not signed in.
import { Center, Paper, Stack } from '@mantine/core'
import type { ReactNode } from 'react'

export function Door({ children }: { children: ReactNode }) {
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder p="xl" w={380} maw="100%">
        <Stack>{children}</Stack>
      </Paper>
    </Center>
  )
}
