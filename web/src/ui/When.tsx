// A moment: how long ago it is, and exactly when on hover.
import { useEffect, useState } from 'react'
import { age, at } from './time'
import { texts } from './texts'

const TICK = 10_000

export function When({ at: iso }: { at: string | null | undefined }) {
  const [, tick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), TICK)
    return () => clearInterval(timer)
  }, [])
  if (!iso) return <>{texts.states.nothing}</>
  return (
    <time dateTime={iso} title={at(iso)}>
      {age(iso)}
    </time>
  )
}
