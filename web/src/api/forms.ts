// What a form does with the server's answer.
import { Problem } from './problem'

interface Form {
  setErrors: (errors: Record<string, string>) => void
}

/** `done` with what was made; or what was wrong, at the fields that it is about. */
export const answeredIn = <R>(form: Form, done: (result: R) => void) => ({
  onSuccess: done,
  onError: (error: Error) => {
    if (error instanceof Problem) form.setErrors(error.fields)
  },
})
