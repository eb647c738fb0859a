// The one question before something is cut: it says what, and shows why it was refused.
import { Button, Group, Modal, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import type { ReactNode } from 'react'
import { Failed, type Failure } from './states'
import { texts } from './texts'

interface Move<A, R> {
  mutate: (given: A, options: { onSuccess: (result: R) => void }) => void
  reset: () => void
  isPending: boolean
  error: Failure | null
}

interface Props<A, R> {
  /** What the button says, here and in the question. */
  label: string
  title: string
  /** What it will cut. */
  children: ReactNode
  move: Move<A, R>
  given: A
  done?: (result: R) => void
  isPlain?: boolean
}

export function Ask<A, R>({ label, title, children, move, given, done, isPlain = false }: Props<A, R>) {
  const [isOpen, question] = useDisclosure(false)
  const ask = () => {
    move.reset()
    question.open()
  }
  const close = (result: R) => {
    question.close()
    done?.(result)
  }
  const color = isPlain ? {} : { color: 'red' }
  return (
    <>
      <Button variant="light" {...color} onClick={ask}>
        {label}
      </Button>
      <Modal opened={isOpen} onClose={question.close} title={title} closeButtonProps={{ 'aria-label': texts.actions.cancel }}>
        <Stack>
          <Text size="sm" component="div">
            {children}
          </Text>
          {move.error && <Failed error={move.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={question.close}>
              {texts.actions.cancel}
            </Button>
            <Button {...color} loading={move.isPending} onClick={() => move.mutate(given, { onSuccess: close })}>
              {label}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  )
}
