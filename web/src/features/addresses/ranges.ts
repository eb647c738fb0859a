// IPv4 ranges as numbers, and how a range is cut into the fields of a map.

export interface Range {
  first: number
  size: number
}

const MOST_FIELDS = 256

/** An IPv4 address as a number, NaN for anything else. */
export function numberOf(address: string): number {
  const parts = address.split('.').map(Number)
  if (parts.length !== 4 || parts.some((each) => !Number.isInteger(each) || each < 0 || each > 255)) return NaN
  return parts.reduce((sum, each) => sum * 256 + each, 0)
}

export const addressOf = (value: number): string =>
  [24, 16, 8, 0].map((bits) => Math.floor(value / 2 ** bits) % 256).join('.')

export function rangeOf(cidr: string): Range {
  const [address = '', bits = '32'] = cidr.split('/')
  return { first: numberOf(address), size: 2 ** (32 - Number(bits)) }
}

export interface Field {
  first: string
  last: string
  size: number
  used: number
  reserved: number
}

/** The range in at most 256 fields of one size, each with how much of it is in use. */
export function fieldsOf({ first, size }: Range, used: readonly string[], reserved: readonly string[]): Field[] {
  const count = Math.min(size, MOST_FIELDS)
  const each = size / count
  const fields = Array.from({ length: count }, (_, index) => ({
    first: addressOf(first + index * each),
    last: addressOf(first + (index + 1) * each - 1),
    size: each,
    used: 0,
    reserved: 0,
  }))
  const add = (address: string, kind: 'used' | 'reserved') => {
    const field = fields[Math.floor((numberOf(address) - first) / each)]
    if (field) field[kind] += 1
  }
  for (const address of used) add(address, 'used')
  for (const address of reserved) add(address, 'reserved')
  return fields
}
