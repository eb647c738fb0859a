// What this backend is to others, as pages read and change it.
import { queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { Problem } from '../../api/problem'
import { queries } from '../../api/queries'
import type { FederationPatch, FederationView, InitBody } from '../../api/schema.gen'

/** Null until federation was set up. */
export const federation = queryOptions({
  queryKey: ['federation'],
  queryFn: async (): Promise<FederationView | null> => {
    try {
      return await answered(client.GET('/api/v1/federation'))
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return null
      throw error
    }
  },
})

const reread = () => queries.invalidateQueries({ queryKey: ['federation'] })

export const useInit = () =>
  useMutation({
    mutationFn: (body: InitBody) => answered(client.POST('/api/v1/federation/init', { body })),
    onSuccess: reread,
  })

export const useChangeFederation = (version: number) =>
  useMutation({
    mutationFn: (body: FederationPatch) =>
      answered(client.PATCH('/api/v1/federation', { params: { header: { 'if-match': etag(version) } }, body })),
    onSuccess: reread,
  })
