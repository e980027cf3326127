/** Formats numbers and times for people. All times are UTC. */
import { formatDuration } from '../logging/printable.js'

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

/** 3 min 20 s; a dash for null. */
export function toDuration(seconds: number | null): string {
  return seconds === null ? NOTHING : formatDuration(seconds)
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

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** 1 Mar, from 2026-03-01. */
export function toDayLabel(day: string): string {
  return `${Number(day.slice(8))} ${MONTHS[Number(day.slice(5, 7)) - 1] ?? ''}`
}
