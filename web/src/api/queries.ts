// What was read from the server: kept until a notice says that it may be old.
import { QueryClient } from '@tanstack/react-query'
import type { Message } from './live'
import { Problem } from './problem'

const SIGNED_OUT = 401

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      retry: (count, error) => error instanceof Problem && error.isRetryable && count < 5,
      retryDelay: (attempt) => Math.min(500 * 2 ** attempt, 5_000),
    },
  },
})

export const isSignedOut = (error: unknown): boolean => error instanceof Problem && error.status === SIGNED_OUT

/** Stands for notices that this reader was too slow for. */
const MANY = 'network.many'

/** The first parts of the keys of queries that a notice makes old; the key of a query begins with the kind it shows. */
const KINDS: Record<string, readonly string[]> = {
  peer: ['peers', 'networks', 'paths', 'addresses', 'topology'],
  network: ['networks', 'peers', 'paths', 'addresses', 'topology'],
  incident: ['incidents', 'peers', 'topology'],
  federation: ['federation', 'networks'],
  remote: ['remotes', 'federation', 'topology'],
  invitation: ['remotes'],
  bridge: ['bridges', 'remotes', 'topology'],
  grant: ['grants', 'bridges'],
  service: ['services', 'grants'],
  instance: ['instances'],
  finding: ['findings', 'remotes'],
  template: ['templates'],
  directory: ['people'],
  user: ['session'],
  token: ['tokens'],
}

/** Read again what is on the screen and may be old after `message`. */
export function follow(message: Message, client: QueryClient = queries): void {
  if (message.type === 'hello') {
    void client.invalidateQueries()
    return
  }
  const kinds = message.event === MANY ? undefined : KINDS[message.subject_kind]
  void client.invalidateQueries({
    predicate: (query) => kinds === undefined || kinds.includes(String(query.queryKey[0])),
  })
  void client.invalidateQueries({ queryKey: ['audit'] })
}
