// The people of this backend, and those of remotes, as pages read and change them.
import { infiniteQueryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { queries } from '../../api/queries'
import type { DirectoryUserBody, DirectoryUserPatch, DirectoryUserView, ProfileView } from '../../api/schema.gen'

type Visibility = DirectoryUserView['visibility']

export const people = infiniteQueryOptions({
  queryKey: ['people', 'list'],
  queryFn: ({ pageParam }) => answered(client.GET('/api/v1/users', { params: { query: { limit: 100, after: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
})

const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['people'] }) }

export const useCreatePerson = () =>
  useMutation({ mutationFn: (body: DirectoryUserBody) => answered(client.POST('/api/v1/users', { body })), ...settled })

export const useChangePerson = ({ id, version }: DirectoryUserView) =>
  useMutation({
    mutationFn: (body: DirectoryUserPatch) =>
      answered(
        client.PATCH('/api/v1/users/{user_id}', { params: { path: { user_id: id }, header: { 'if-match': etag(version) } }, body }),
      ),
    ...settled,
  })

export const useDeletePerson = (id: string) =>
  useMutation({
    mutationFn: () => answered(client.DELETE('/api/v1/users/{user_id}', { params: { path: { user_id: id } } })),
    ...settled,
  })

export const useSetFor = (id: string) =>
  useMutation({
    mutationFn: ({ remote, visibility }: { remote: string; visibility: Visibility | null }) => {
      const params = { path: { user_id: id, remote } }
      return visibility === null
        ? answered(client.DELETE('/api/v1/users/{user_id}/visibility/{remote}', { params }))
        : answered(client.PUT('/api/v1/users/{user_id}/visibility/{remote}', { params, body: { visibility } }))
    },
    ...settled,
  })

/** Somebody of a remote by `handle@domain`, or all whose names begin so. */
export const useFind = () =>
  useMutation({
    mutationFn: async ({ begins, domain }: { begins: string; domain: string }): Promise<ProfileView[]> => {
      if (begins.includes('@')) return [await answered(client.GET('/api/v1/directory/lookup', { params: { query: { handle: begins } } }))]
      return (await answered(client.GET('/api/v1/directory/search', { params: { query: { begins, domain } } }))).items
    },
  })
