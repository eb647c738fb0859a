// What a grant allows, in words, and what of it is wide open.
import type { AxisView, GrantView } from '../../api/schema.gen'
import { texts } from '../../ui/texts'
import { at } from '../../ui/time'

const t = texts.grants
const ACTIONS: Record<string, string> = t.actions

export const AXES = ['instances', 'networks', 'sources'] as const
export type Axis = (typeof AXES)[number]

const WORDS: Record<Axis, { anything: string; listed: string }> = {
  instances: { anything: t.anyInstance, listed: t.byInstance },
  networks: { anything: t.anyNetwork, listed: t.overNetwork },
  sources: { anything: t.anySource, listed: t.from },
}

export type Meaning = Pick<GrantView, 'subject' | 'kind' | 'resource_id' | 'scopes' | Axis> & { expires_at: string | null }

/** Names for ids, where they are known. */
export type Names = (id: string) => string

const asIs: Names = (id) => id

export function resourceOf({ kind, resource_id: id }: Pick<Meaning, 'kind' | 'resource_id'>, names: Names = asIs): string {
  return id ? `${kind} ${names(id)}` : `${t.every} ${kind}`
}

function listOf(words: readonly string[], last: string): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${last} ${words[words.length - 1] ?? ''}`
}

function limit(axis: AxisView, { anything, listed }: { anything: string; listed: string }, names: Names): string {
  if (axis.mode === 'any') return anything
  return axis.entries.length === 0 ? `${listed} ${t.nobody}` : `${listed} ${listOf(axis.entries.map(names), t.or)}`
}

export function sentence(of: Meaning, names: Names = asIs): string {
  const actions = listOf(of.scopes.map((scope) => ACTIONS[scope] ?? scope), t.and)
  const limits = AXES.map((axis) => limit(of[axis], WORDS[axis], names)).join(', ')
  const until = of.expires_at === null ? t.thirtyDays : `${t.until} ${at(of.expires_at)}`
  return `${of.subject || t.somebody} ${t.may} ${actions || '…'} ${resourceOf(of, names)}, ${limits}, ${until}.`
}

export const openAxes = (of: Pick<Meaning, Axis>): Axis[] => AXES.filter((axis) => of[axis].mode === 'any')

export const axisText = (axis: AxisView, names: Names = asIs): string =>
  axis.mode === 'any' ? t.any : axis.entries.length === 0 ? t.nobody : axis.entries.map(names).join(', ')
