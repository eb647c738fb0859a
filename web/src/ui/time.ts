// Numbers and moments as people read them.

const STEPS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
]
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
const moment = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })
const whole = new Intl.NumberFormat('en')
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** How long ago or how soon an ISO time is, such as `5 minutes ago`. */
export function age(iso: string, now: number = Date.now()): string {
  const seconds = Math.round((Date.parse(iso) - now) / 1000)
  const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each) ?? (['second', 1] as const)
  return relative.format(Math.trunc(seconds / size), unit)
}

/** An ISO time as date and time of day, in the browser's time zone. */
export const at = (iso: string): string => moment.format(new Date(iso))

/** What cannot be told exactly is told as a power of two. */
export const count = (value: number): string =>
  value > Number.MAX_SAFE_INTEGER ? `2^${Math.round(Math.log2(value))}` : whole.format(value)

export const isPast = (iso: string): boolean => Date.parse(iso) < Date.now()

/** Bytes with a binary unit. */
export function bytes(value: number): string {
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10))
  const scaled = value / 1024 ** power
  return `${power === 0 ? scaled : scaled.toFixed(1)} ${UNITS[power] ?? 'B'}`
}

/** Seconds in the largest unit that fits without a rest, such as `30 d`. */
export function duration(seconds: number): string {
  for (const [unit, size] of STEPS) if (seconds >= size && seconds % size === 0) return `${seconds / size} ${unit.charAt(0)}`
  return `${seconds} s`
}

/** Microseconds as milliseconds, with a digit more where they are few. */
export const milliseconds = (micro: number): string => `${(micro / 1000).toFixed(micro < 100_000 ? 1 : 0)} ms`
