// The settings that networks have in common with their forms, and how forms turn into what the server takes.
import type { LimitsBody as LimitsBody, NetworkBody, NetworkPatch, NetworkView } from '../../api/schema.gen'

export interface Settings {
  name: string
  cidr_v4: string
  cidr_v6: string
  domain: string
  mtu: number
  listen_port: number
  keepalive: number
  key_max_age: number
  direct_paths: NetworkView['direct_paths']
  dns_upstreams: string[]
  limits: LimitsBody
  template: string
  primary_id: string
  force: boolean
}

/** What a new network gets unless it is told otherwise: the server's own defaults. */
export const DEFAULTS: Settings = {
  name: '',
  cidr_v4: '',
  cidr_v6: '',
  domain: '',
  mtu: 1420,
  listen_port: 51820,
  keepalive: 25,
  key_max_age: 0,
  direct_paths: 'auto',
  dns_upstreams: [],
  limits: { address_changes: 0, address_window: 0, port_changes: 0, port_window: 0, return_window: 0 },
  template: '',
  primary_id: '',
  force: false,
}

export const settingsOf = (network: NetworkView): Settings => ({
  ...DEFAULTS,
  ...network,
  cidr_v4: network.cidr_v4 ?? '',
  primary_id: '',
  force: false,
})

const COMMON = ['domain', 'mtu', 'listen_port', 'keepalive', 'key_max_age', 'direct_paths', 'dns_upstreams'] as const
const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

/** What differs from `before` only: what is left out keeps its default, or the template's. */
function changes(after: Settings, before: Settings, names: readonly (keyof Settings)[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((each) => !isSame(after[each], before[each])).map((each) => [each, after[each]]))
}

export const bodyOf = (made: Settings): NetworkBody =>
  changes(made, DEFAULTS, ['name', 'cidr_v4', 'cidr_v6', 'template', ...COMMON]) as unknown as NetworkBody

export function patchOf(after: Settings, before: Settings): NetworkPatch {
  const patch = changes(after, before, ['name', 'limits', ...COMMON])
  if (after.cidr_v4 !== before.cidr_v4) patch['cidr_v4'] = after.cidr_v4 || null
  if (after.primary_id !== before.primary_id) patch['primary_id'] = after.primary_id || null
  if (after.force) patch['force'] = true
  return patch
}
