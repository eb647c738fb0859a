// The settings of a peer as its forms hold them, and as the server takes them.
import type { PeerBody, PeerPatch, PeerView } from '../../api/schema.gen'

const HOUR = 3600

export interface Settings {
  name: string
  kind: PeerView['kind']
  endpoint: string
  public_key: string
  keep_private_key: boolean
  address_v4: string
  address_v6: string
  isolated: boolean
  full_encapsulation: boolean
  additional_allowed_ips: string[]
  owner: string
  groups: string[]
  /** Each `key=value`. */
  labels: string[]
  /** Of the enrollment token. */
  hours: number
}

export const fresh = (kind: PeerView['kind']): Settings => ({
  name: '',
  kind,
  endpoint: '',
  public_key: '',
  keep_private_key: false,
  address_v4: '',
  address_v6: '',
  isolated: false,
  full_encapsulation: false,
  additional_allowed_ips: [],
  owner: '',
  groups: [],
  labels: [],
  hours: 24,
})

export const settingsOf = (peer: PeerView): Settings => ({
  ...fresh(peer.kind),
  name: peer.name,
  endpoint: peer.endpoint ?? '',
  public_key: peer.public_key ?? '',
  isolated: peer.isolated,
  full_encapsulation: peer.full_encapsulation,
  additional_allowed_ips: peer.additional_allowed_ips,
  owner: peer.owner ?? '',
  groups: peer.groups,
  labels: Object.entries(peer.labels).map(([key, value]) => `${key}=${value}`),
})

export function labelsOf(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const cut = line.indexOf('=')
      return cut < 0 ? [line, ''] : [line.slice(0, cut), line.slice(cut + 1)]
    }),
  )
}

const common = (made: Settings) => ({
  name: made.name,
  endpoint: made.endpoint || null,
  isolated: made.isolated,
  full_encapsulation: made.full_encapsulation,
  additional_allowed_ips: made.additional_allowed_ips,
  owner: made.owner || null,
  groups: made.groups,
  labels: labelsOf(made.labels),
})

export const bodyOf = (made: Settings): PeerBody => ({
  ...common(made),
  kind: made.kind,
  public_key: (made.kind === 'static' && made.public_key) || null,
  keep_private_key: made.kind === 'static' && made.keep_private_key,
  address_v4: made.address_v4 || null,
  address_v6: made.address_v6 || null,
  token_lifetime: made.hours * HOUR,
})

/** What differs from `before` only. */
export function patchOf(after: Settings, before: Settings): PeerPatch {
  const was: Record<string, unknown> = common(before)
  const changed = Object.entries(common(after)).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(was[name]))
  const patch: PeerPatch = Object.fromEntries(changed)
  return after.public_key === before.public_key ? patch : { ...patch, public_key: after.public_key }
}
