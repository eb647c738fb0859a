// What the dashboard counts.
import { queryOptions } from '@tanstack/react-query'
import { answered, client } from '../../api/client'
import { everyPage } from '../../api/pages'

const LOOK_AGAIN = 30_000

export const allPeers = queryOptions({
  queryKey: ['peers', 'all'],
  queryFn: () => everyPage((after) => answered(client.GET('/api/v1/peers', { params: { query: { limit: 1000, after } } }))),
  refetchInterval: LOOK_AGAIN,
})

export const openIncidents = queryOptions({
  queryKey: ['incidents', 'open'],
  queryFn: () =>
    everyPage((after) =>
      answered(client.GET('/api/v1/incidents', { params: { query: { state: 'open', limit: 1000, after } } })),
    ),
})

export const findings = queryOptions({
  queryKey: ['findings', 'standing'],
  queryFn: () =>
    everyPage((after) => answered(client.GET('/api/v1/findings', { params: { query: { limit: 1000, after } } }))),
})

export const bridges = queryOptions({
  queryKey: ['bridges', 'all'],
  queryFn: () => everyPage((after) => answered(client.GET('/api/v1/bridges', { params: { query: { limit: 1000, after } } }))),
})

export const grants = queryOptions({
  queryKey: ['grants', 'all'],
  queryFn: () => everyPage((after) => answered(client.GET('/api/v1/grants', { params: { query: { limit: 1000, after } } }))),
})
