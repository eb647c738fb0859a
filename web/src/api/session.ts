// Who is signed in, and the moves in and out.
import { queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client } from './client'
import { queries } from './queries'

export const session = queryOptions({
  queryKey: ['session'],
  queryFn: () => answered(client.GET('/api/v1/auth/me')),
  staleTime: Infinity,
})

export const useSignIn = () =>
  useMutation({
    mutationFn: (body: { username: string; password: string }) =>
      answered(client.POST('/api/v1/auth/session', { body })),
    onSuccess: () => queries.clear(),
  })

export const useSignOut = () =>
  useMutation({
    mutationFn: () => answered(client.POST('/api/v1/auth/logout')),
    onSettled: () => queries.clear(),
  })
