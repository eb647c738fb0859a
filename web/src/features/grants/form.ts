// A grant as its form holds it, and as the server takes it.
import type { AxisView, GrantBody, GrantPatch, GrantView } from '../../api/schema.gen'
import { AXES, type Axis, type Meaning } from './words'

const DAY = 86_400_000

export interface Draft {
  subject: string
  kind: string
  resource_id: string
  scopes: string[]
  instances: AxisView
  networks: AxisView
  sources: AxisView
  days: number | ''
  disclose: GrantView['disclose']
  note: string
}

const OPEN: AxisView = { mode: 'any', entries: [] }

export const FRESH: Draft = {
  subject: '',
  kind: 'service',
  resource_id: '',
  scopes: ['connect'],
  instances: { ...OPEN, mode: 'list' },
  networks: { ...OPEN, mode: 'list' },
  sources: { ...OPEN, mode: 'list' },
  days: 30,
  disclose: 'grantee',
  note: '',
}

export const draftOf = (grant: GrantView): Draft => ({
  subject: grant.subject,
  kind: grant.kind,
  resource_id: grant.resource_id ?? '',
  scopes: grant.scopes,
  instances: grant.instances,
  networks: grant.networks,
  sources: grant.sources,
  days: '',
  disclose: grant.disclose,
  note: grant.note,
})

const endIn = (days: number | '', now: number): string | null => (days === '' ? null : new Date(now + days * DAY).toISOString())
const entriesOf = (axis: AxisView): string[] | null => (axis.mode === 'any' ? null : axis.entries)

export const bodyOf = (draft: Draft, now: number): GrantBody => ({
  subject: draft.subject.trim(),
  kind: draft.kind,
  resource_id: draft.resource_id || null,
  scopes: draft.scopes,
  instances: entriesOf(draft.instances),
  networks: entriesOf(draft.networks),
  sources: entriesOf(draft.sources),
  expires_at: endIn(draft.days, now),
  disclose: draft.disclose,
  note: draft.note,
})

/** What differs from `before` only. */
export function patchOf(after: Draft, before: Draft, now: number): GrantPatch {
  const patch: GrantPatch = {}
  for (const axis of AXES) {
    if (JSON.stringify(after[axis]) !== JSON.stringify(before[axis])) patch[axis] = entriesOf(after[axis])
  }
  if (after.scopes.join() !== before.scopes.join()) patch.scopes = after.scopes
  if (after.disclose !== before.disclose) patch.disclose = after.disclose
  if (after.note !== before.note) patch.note = after.note
  if (after.days !== '') patch.expires_at = endIn(after.days, now)
  return patch
}

/** What the draft will allow, once it is a grant. `keptEnd` is when it ends where that stays. */
export const meaningOf = (draft: Draft, keptEnd: string | null, now: number): Meaning => ({
  ...draft,
  resource_id: draft.resource_id || null,
  expires_at: endIn(draft.days, now) ?? keptEnd,
})

/** The axes that are lists and name nothing: of a new grant the server would take them as open. */
export const emptyAxes = (draft: Draft): Axis[] => AXES.filter((axis) => draft[axis].mode === 'list' && draft[axis].entries.length === 0)
