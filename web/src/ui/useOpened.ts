// What a form was opened with: it changes that, whatever others have made of it meanwhile, so that they are noticed.
import { useState } from 'react'

export function useOpened<T>(value: T): T {
  const [opened] = useState(value)
  return opened
}
