/** Microseconds since 1970, the precision of Postgres. A JavaScript number holds them exactly until the year 2255. */
export type Micros = number

const SECOND: Micros = 1_000_000
const DAY_SECONDS = 86_400
const FRACTION = /\.(\d+)/
const TWO_DIGITS = Array.from({ length: 60 }, (_, value) => String(value).padStart(2, '0'))

/**
 * The date of the last call. Jobs of a page lie within a day or two, and `toISOString` took half the time of a page.
 */
let lastDay = { day: Number.NaN, text: '' }

/** Formats an instant as ISO 8601 in UTC, with as few digits as possible: seconds, milliseconds or microseconds. */
export function toIsoText(instant: Micros): string {
  const second = Math.floor(instant / SECOND)
  const day = Math.floor(second / DAY_SECONDS)
  if (day !== lastDay.day) {
    lastDay = { day, text: new Date(day * DAY_SECONDS * 1000).toISOString().slice(0, 11) }
  }
  // `| 0` makes these integers for the engine: the remainder of doubles is a slow library call.
  const ofDay = (second - day * DAY_SECONDS) | 0
  const ofMinute = ofDay % 60
  const minutes = ((ofDay - ofMinute) / 60) | 0
  const ofHour = minutes % 60
  const hours = ((minutes - ofHour) / 60) | 0
  const text = `${lastDay.text}${TWO_DIGITS[hours]}:${TWO_DIGITS[ofHour]}:${TWO_DIGITS[ofMinute]}`

  const fraction = (instant - second * SECOND) | 0
  if (fraction === 0) return `${text}Z`
  if (fraction % 1000 === 0) return `${text}.${String(fraction / 1000).padStart(3, '0')}Z`
  return `${text}.${String(fraction).padStart(6, '0')}Z`
}

/** Parses an ISO 8601 text, without digits below the microsecond; null for any other text. */
export function fromIsoText(text: string): Micros | null {
  const digits = FRACTION.exec(text)?.[1] ?? ''
  const seconds = Date.parse(text.replace(FRACTION, ''))
  return Number.isNaN(seconds) ? null : seconds * 1000 + Number(digits.padEnd(6, '0').slice(0, 6))
}

/** Rounds an instant down to the second. */
export function wholeSecond(instant: Micros): Micros {
  return Math.floor(instant / SECOND) * SECOND
}
