// The stream of notices while somebody is signed in.
import { useNavigate } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { Live, type LinkState } from '../api/live'
import { follow, queries } from '../api/queries'

export function useLive(): LinkState {
  const [state, setState] = useState<LinkState>('connecting')
  const navigate = useNavigate()
  useEffect(() => {
    const live = new Live((message) => follow(message), setState)
    const retry = () => live.retry()
    live.open()
    window.addEventListener('online', retry)
    return () => {
      window.removeEventListener('online', retry)
      live.close()
    }
  }, [])
  useEffect(() => {
    if (state === 'ended') {
      queries.clear()
      void navigate({ to: '/sign-in' })
    }
  }, [state, navigate])
  return state
}
