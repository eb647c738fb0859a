// The one question before something is cut, where the record keeps why.
import { Button, Text, Textarea } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useState, type ReactNode, type SubmitEvent } from 'react'
import { FormModal } from './FormModal'
import type { Failure } from './states'
import { texts } from './texts'

interface Move<R> {
  mutate: (reason: string, options: { onSuccess: (result: R) => void }) => void
  reset: () => void
  isPending: boolean
  error: Failure | null
}

interface Props<R> {
  /** What the button says, here and in the question. */
  label: string
  title: string
  /** What it will cut. */
  children: ReactNode
  move: Move<R>
  /** Where there has to be one. */
  isRequired?: boolean
  isPlain?: boolean
}

export function AskReason<R>({ label, title, children, move, isRequired = false, isPlain = false }: Props<R>) {
  const [isOpen, question] = useDisclosure(false)
  const [reason, setReason] = useState('')
  const ask = () => {
    move.reset()
    setReason('')
    question.open()
  }
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    move.mutate(reason, { onSuccess: question.close })
  }
  return (
    <>
      <Button variant="light" {...(isPlain ? {} : { color: 'red' })} onClick={ask}>
        {label}
      </Button>
      {isOpen && (
        <FormModal title={title} submit={label} isOpen isPending={move.isPending} error={move.error} onClose={question.close} onSubmit={submit}>
          <Text size="sm" component="div">
            {children}
          </Text>
          <Textarea
            label={texts.actions.reason}
            required={isRequired}
            data-autofocus
            autosize
            minRows={2}
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
          />
        </FormModal>
      )}
    </>
  )
}
