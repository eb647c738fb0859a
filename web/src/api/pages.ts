// Listings as a whole, for what can only be counted or drawn when all of it is there.
interface Listing<T> {
  items: T[]
  next?: string | null
}

export interface Whole<T> {
  items: T[]
  /** Whether there was more than is read at once. */
  isCut: boolean
}

const MOST_PAGES = 20

/** All pages of a listing one after the other, up to a bound. */
export async function everyPage<T>(read: (after: string | null) => Promise<Listing<T>>): Promise<Whole<T>> {
  const items: T[] = []
  let after: string | null = null
  for (let page = 0; page < MOST_PAGES; page++) {
    const found: Listing<T> = await read(after)
    items.push(...found.items)
    after = found.next ?? null
    if (after === null) return { items, isCut: false }
  }
  return { items, isCut: true }
}
