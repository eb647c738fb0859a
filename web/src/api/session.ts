// Who is signed in, and the moves in and out.
import { queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client } from './client'
import { queries } from './queries'
import type { SetupBody, SignInAnswerBody } from './schema.gen'

export const session = queryOptions({
  queryKey: ['session'],
  queryFn: () => answered(client.GET('/api/v1/auth/me')),
  staleTime: Infinity,
})

/** Fails with 404 once the backend has its owner. */
export const setup = queryOptions({
  queryKey: ['setup'],
  queryFn: () => answered(client.GET('/api/v1/setup')),
  retry: false,
})

export const useSetUp = () =>
  useMutation({ mutationFn: (body: SetupBody) => answered(client.POST('/api/v1/setup', { body })) })

export const useSignIn = () =>
  useMutation({
    mutationFn: (body: { username: string; password: string }) =>
      answered(client.POST('/api/v1/auth/session', { body })),
    onSuccess: () => queries.clear(),
  })

/** Fails with 404 where all accounts are local ones. */
export const provider = queryOptions({
  queryKey: ['provider'],
  queryFn: () => answered(client.GET('/api/v1/session/oidc')),
  retry: false,
  staleTime: Infinity,
})

/** Leaves this page for the provider's, which sends the browser back to /signed-in. */
export const useStartSignIn = () =>
  useMutation({
    mutationFn: () => answered(client.POST('/api/v1/session/oidc/start')),
    onSuccess: ({ address }) => window.location.assign(address),
  })

export const useFinishSignIn = () =>
  useMutation({
    mutationFn: (body: SignInAnswerBody) => answered(client.POST('/api/v1/session/oidc/finish', { body })),
    onSuccess: () => queries.clear(),
  })

export const useSignOut = () =>
  useMutation({
    mutationFn: () => answered(client.POST('/api/v1/auth/logout')),
    onSettled: () => queries.clear(),
  })
