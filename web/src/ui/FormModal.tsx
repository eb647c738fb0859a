// A form in a window of its own: fields, what went wrong, and the two ways out.
import { Button, Group, Modal, Stack } from '@mantine/core'
import type { ReactNode, SubmitEvent } from 'react'
import { Failed, type Failure } from './states'
import { texts } from './texts'

interface Props {
  title: string
  submit: string
  isOpen: boolean
  isPending: boolean
  error: Failure | null
  onClose: () => void
  onSubmit: (event: SubmitEvent<HTMLFormElement>) => void
  children: ReactNode
}

export function FormModal({ title, submit, isOpen, isPending, error, onClose, onSubmit, children }: Props) {
  return (
    <Modal opened={isOpen} onClose={onClose} title={title} size="lg" closeButtonProps={{ 'aria-label': texts.actions.cancel }}>
      <form onSubmit={onSubmit} noValidate>
        <Stack>
          {children}
          {error && <Failed error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {texts.actions.cancel}
            </Button>
            <Button type="submit" loading={isPending}>
              {submit}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}
