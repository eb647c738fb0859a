// The page to which the identity provider sends a browser back: it ends the sign-in that was begun in it.
import { Anchor, Loader, Text, Title } from '@mantine/core'
import { Link } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import { useFinishSignIn } from '../../api/session'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { Door } from './Door'

const t = texts.signedIn

// As it was in the address when the browser came back: the router takes a code of digits for a number.
const BROUGHT = new URLSearchParams(window.location.search)

export function SignedIn({ onDone }: { onDone: () => void }) {
  const { mutate, error } = useFinishSignIn()
  const isAsked = useRef(false)
  const code = BROUGHT.get('code')
  const state = BROUGHT.get('state')
  const iss = BROUGHT.get('iss')
  useEffect(() => {
    // A code counts once, and an effect may run twice.
    if (isAsked.current || code === null || state === null) return
    isAsked.current = true
    mutate({ code, state, iss }, { onSuccess: onDone })
  }, [code, state, iss, mutate, onDone])
  return (
    <Door>
      <Title order={1} size="h3">
        {texts.signIn.title}
      </Title>
      {code === null || state === null ? <Text size="sm">{t.refused}</Text> : error ? <Failed error={error} /> : <Loader aria-label={t.waits} />}
      <Anchor component={Link} to="/sign-in" size="sm">
        {t.again}
      </Anchor>
    </Door>
  )
}
