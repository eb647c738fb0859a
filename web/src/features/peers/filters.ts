// What the list of peers is narrowed to; it stands in the address of the page, so that it can be sent to others.
export interface Filters {
  network?: string
  kind?: 'jump' | 'dynamic' | 'static'
  search?: string
  enrolled?: boolean
  blocked?: boolean
  group?: string
  label?: string
}

const KINDS = ['jump', 'dynamic', 'static'] as const
const TEXTS = ['network', 'search', 'group', 'label'] as const
const FLAGS = ['enrolled', 'blocked'] as const

/** The filters in an address; what is none of them is left out. */
export function filtersIn(given: Record<string, unknown>): Filters {
  const found: Filters = {}
  for (const each of TEXTS) {
    const text = given[each]
    // The router reads what looks like a number as one.
    if (typeof text === 'number' || (typeof text === 'string' && text !== '')) found[each] = String(text)
  }
  for (const each of FLAGS) {
    const flag = given[each]
    if (typeof flag === 'boolean') found[each] = flag
  }
  const kind = KINDS.find((each) => each === given['kind'])
  if (kind) found.kind = kind
  return found
}
