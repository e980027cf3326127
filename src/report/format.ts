/** Formats numbers and times for people. All times are UTC. */

const NOTHING = '–'

/** 12,345; a dash for null. */
export function toCount(value: number | null): string {
  return value === null ? NOTHING : value.toLocaleString('en')
}

/** 12.3K, 4.5M: for axes. */
export function toShortCount(value: number): string {
  return value.toLocaleString('en', { notation: 'compact', maximumFractionDigits: 1 })
}

/** 12,345; from ten million on 12.35M, 1.23B: where a longer number would not fit. */
export function toCompactCount(value: number): string {
  return Math.abs(value) < 1e7
    ? toCount(value)
    : value.toLocaleString('en', { notation: 'compact', maximumFractionDigits: 2 })
}

/** 90.1 %, from a share. Rounded down, so that 100.0 % means all. */
export function toPercent(share: number | null): string {
  if (share === null) return NOTHING
  return `${(Math.floor(share * 1000 + 1e-9) / 10).toFixed(1)} %`
}

/** 90 %, from a share: for axes. */
export function toShortPercent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** The two largest units: 4 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function toDuration(seconds: number | null): string {
  if (seconds === null) return NOTHING
  if (seconds < 9.95) return `${Math.round(seconds * 10) / 10} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return pair(whole, 60, 'min', 's')
  if (whole < 86_400) return pair(Math.round(whole / 60), 60, 'h', 'min')
  return pair(Math.round(whole / 3600), 24, 'd', 'h')
}

function pair(amount: number, base: number, large: string, small: string): string {
  const rest = amount % base
  return `${Math.floor(amount / base)} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`
}

/** 4.2 s, 3m 20s, 2h 5m: for the narrow columns of a terminal. */
export function toShortDuration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const minutes = Math.floor(ms / 60_000)
  return minutes < 60
    ? `${minutes}m ${Math.floor((ms % 60_000) / 1000)}s`
    : `${Math.floor(minutes / 60)}h ${minutes % 60}m`
}

const UNIT_SYMBOLS = { second: 's', minute: 'min', hour: 'h', day: 'd' } as const

/** One unit: 4 s, 12 min, 3 h, 5 d. */
export function toRoughDuration(seconds: number): string {
  const { amount, unit } = inOneUnit(seconds)
  return `${amount} ${UNIT_SYMBOLS[unit]}`
}

/** 4 seconds ago, 12 minutes ago, 3 hours ago, 5 days ago. */
export function toAge(seconds: number): string {
  const { amount, unit } = inOneUnit(seconds)
  return new Intl.RelativeTimeFormat('en').format(-amount, unit)
}

function inOneUnit(seconds: number): { readonly amount: number; readonly unit: keyof typeof UNIT_SYMBOLS } {
  if (seconds < 90) return { amount: Math.floor(seconds), unit: 'second' }
  if (seconds < 90 * 60) return { amount: Math.round(seconds / 60), unit: 'minute' }
  if (seconds < 48 * 3600) return { amount: Math.round(seconds / 3600), unit: 'hour' }
  return { amount: Math.round(seconds / 86_400), unit: 'day' }
}

/** 12:03:11 UTC, with the day if it is not that of `now`. */
export function toClock(instant: Date, now: Date): string {
  const [day = '', time = ''] = instant.toISOString().split('T')
  const clock = `${time.slice(0, 8)} UTC`
  return now.toISOString().startsWith(day) ? clock : `${day} ${clock}`
}

/** 12:03 each, or 1 Mar 12:03 if the day is not that of `now`; 12:03:11 each if two neighbours are of the same minute. */
export function toTimeLabels(instants: readonly Date[], now: Date): string[] {
  const isSameMinute = ({ at, next }: { at: number; next: number }) =>
    at !== next && Math.floor(at / 60_000) === Math.floor(next / 60_000)
  const pairs = instants.slice(1).map((instant, i) => ({ at: instants[i]?.getTime() ?? 0, next: instant.getTime() }))
  const length = pairs.some(isSameMinute) ? 8 : 5
  return instants.map((instant) => toShortTime(instant, now, length))
}

/** 12:03, or 1 Mar 12:03 if the day is not that of `now`. With a length of 8 the time has seconds. */
export function toShortTime(instant: Date, now: Date, length: 5 | 8 = 5): string {
  const [day = '', time = ''] = instant.toISOString().split('T')
  const clock = time.slice(0, length)
  return now.toISOString().startsWith(day) ? clock : `${toDayLabel(day)} ${clock}`
}

/** 2026-03-01 12:03:11 UTC, from ISO 8601. */
export function toInstant(iso: string): string {
  return `${iso.slice(0, 19).replace('T', ' ')} UTC`
}

/** 2026-03-01 12:03 */
export function toMinute(instant: Date): string {
  return instant.toISOString().slice(0, 16).replace('T', ' ')
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** 1 Mar, from 2026-03-01. */
export function toDayLabel(day: string): string {
  return `${Number(day.slice(8))} ${MONTHS[Number(day.slice(5, 7)) - 1] ?? ''}`
}
