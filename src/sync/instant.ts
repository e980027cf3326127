/** Microseconds since 1970, as Postgres counts them: a `Date` has milliseconds only. */
export type Micros = bigint

const FRACTION = /\.(\d+)/

/**
 * Reads an ISO 8601 timestamp with offset, as Postgres would store it: more than six digits are rounded as its parser
 * rounds them (half to even), so that a bound made here meets the stored value exactly.
 */
export function toMicros(timestamp: string): Micros {
  const fraction = FRACTION.exec(timestamp)?.[1]
  const whole = BigInt(Date.parse(fraction === undefined ? timestamp : timestamp.replace(FRACTION, ''))) * 1000n
  return fraction === undefined ? whole : whole + BigInt(roundHalfEven(Number(`0.${fraction}`) * 1e6))
}

/** ISO 8601 in UTC with six digits, exact. */
export function toTimestamp(micros: Micros): string {
  const rest = ((micros % 1000n) + 1000n) % 1000n
  const iso = new Date(Number((micros - rest) / 1000n)).toISOString()
  return `${iso.slice(0, -1)}${String(rest).padStart(3, '0')}Z`
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  const isTie = value - floor === 0.5
  return isTie ? floor + (floor % 2) : Math.round(value)
}
