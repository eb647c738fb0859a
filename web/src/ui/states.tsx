// What a page shows while it waits, when it failed, and when there is nothing.
import { Alert, Button, Code, Group, Skeleton, Stack, Text } from '@mantine/core'
import { IconAlertTriangle } from '@tabler/icons-react'
import type { ReactNode } from 'react'
import { texts } from './texts'

const t = texts.states

/** An error as pages get them: a problem of the server, or anything else that broke. */
export interface Failure {
  title?: string
  message: string
  hint?: string | undefined
  requestId?: string | undefined
}

interface FailedProps {
  error: Failure
  retry?: () => void
  isTrying?: boolean
}

export function Failed({ error, retry, isTrying = false }: FailedProps) {
  return (
    <Alert color="red" icon={<IconAlertTriangle aria-hidden />} title={error.title ?? error.message} role="alert">
      <Stack gap="xs">
        <Text size="sm">{error.message}</Text>
        {error.hint && <Text size="sm">{error.hint}</Text>}
        <Group gap="sm">
          {retry && (
            <Button size="xs" variant="light" color="red" onClick={retry} loading={isTrying}>
              {t.retry}
            </Button>
          )}
          {error.requestId && (
            <Text size="xs" c="dimmed">
              {t.request} <Code>{error.requestId}</Code>
            </Text>
          )}
        </Group>
      </Stack>
    </Alert>
  )
}

export function Loading({ rows = 5 }: { rows?: number }) {
  return (
    <Stack gap="xs" role="status" aria-label={t.loading}>
      {Array.from({ length: rows }, (_, row) => (
        <Skeleton key={row} height={28} />
      ))}
    </Stack>
  )
}

export function Empty({ children, action }: { children: ReactNode; action?: ReactNode }) {
  return (
    <Stack align="center" py="xl" gap="sm">
      <Text c="dimmed" ta="center">
        {children}
      </Text>
      {action}
    </Stack>
  )
}
