/** The API's window is 15 minutes; whoever tells us to wait longer is wrong, or means a clock we do not share. */
const MAX_WAIT_MS = 900_000

/** The request budget as an answer told it. */
export interface RateLimit {
  readonly limit: number
  readonly remaining: number
  /** Until the window starts anew, in milliseconds from the answer; null when the answer did not say. */
  readonly resetInMs: number | null
}

/** Reads one header, by its lower-case name. */
export type HeaderReader = (name: string) => string | null

/**
 * Reads the request budget from `RateLimit-Limit`, `-Remaining`, `-Reset`, else from `RateLimit` in the form of the IETF
 * drafts 7 (`limit=60, remaining=5, reset=12`) and 8 (`"p";r=0;t=25` beside `RateLimit-Policy: "p";q=60;w=900`), else from
 * `X-RateLimit-Limit`, `-Remaining`, `-Reset`.
 *
 * @param now epoch milliseconds, for a reset given as a date.
 * @returns null when the answer says nothing usable.
 */
export function readRateLimit(header: HeaderReader, now: number): RateLimit | null {
  const structured = header('ratelimit') ?? ''
  const limit =
    toCount(header('ratelimit-limit')) ??
    parameter(structured, 'limit') ??
    parameter(policyOf(structured, header), 'q') ??
    toCount(header('x-ratelimit-limit'))
  const remaining =
    toCount(header('ratelimit-remaining')) ??
    parameter(structured, 'remaining') ??
    parameter(structured, 'r') ??
    toCount(header('x-ratelimit-remaining'))
  if (limit === null || remaining === null) return null
  return { limit, remaining, resetInMs: readResetMs(header, now) }
}

/**
 * How long an answer asks us to wait, in milliseconds: `Retry-After` (seconds or a date), else `retry_after` of the
 * body (seconds), else the reset of the window. Never more than 15 minutes.
 *
 * The reset stands on every answer, so it asks for a wait only where the budget is what failed: on a 429, or when
 * nothing remains.
 *
 * @param now epoch milliseconds.
 * @returns null when the answer does not say; `Retry-After: 0` does not.
 */
export function readRetryAfterMs(
  header: HeaderReader,
  bodyRetryAfter: unknown,
  now: number,
  status: number,
): number | null {
  const told = header('retry-after')
  const seconds = toCount(told)
  const date = told === null || seconds !== null ? Number.NaN : Date.parse(told)
  const isBudgetSpent = status === 429 || readRateLimit(header, now)?.remaining === 0
  const candidates = [
    seconds === null ? null : seconds * 1000,
    Number.isNaN(date) ? null : date - now,
    typeof bodyRetryAfter === 'number' && Number.isFinite(bodyRetryAfter) ? bodyRetryAfter * 1000 : null,
    isBudgetSpent ? readResetMs(header, now) : null,
  ]
  const wait = candidates.find((candidate) => candidate !== null && candidate > 0) ?? null
  return wait === null ? null : clampWait(wait)
}

/** The documentation says a Unix timestamp, the official SDK reads seconds from now: the size tells which it is. */
function readResetMs(header: HeaderReader, now: number): number | null {
  const structured = header('ratelimit') ?? ''
  const reset =
    toCount(header('ratelimit-reset')) ??
    parameter(structured, 'reset') ??
    parameter(structured, 't') ??
    toCount(header('x-ratelimit-reset'))
  if (reset === null) return null
  if (reset >= 1e12) return clampWait(reset - now)
  if (reset >= 1e9) return clampWait(reset * 1000 - now)
  return clampWait(reset * 1000)
}

function clampWait(ms: number): number {
  return Math.min(Math.max(ms, 0), MAX_WAIT_MS)
}

/** Fifteen digits hold every instant and every budget, and no infinity. */
function toCount(value: string | null): number | null {
  return value !== null && /^\s*\d{1,15}(\.\d+)?\s*$/.test(value) ? Number(value) : null
}

/** A parameter of a structured header: `limit` of `limit=60, remaining=5`, `r` of `"p";r=0;t=25`. */
function parameter(structured: string, name: string): number | null {
  return toCount(new RegExp(`(?:^|[;,\\s])${name}=(\\d+)`).exec(structured)?.[1] ?? null)
}

/** Of several policies the one that `RateLimit` speaks of, by its name in draft 8. */
function policyOf(structured: string, header: HeaderReader): string {
  const policies = (header('ratelimit-policy') ?? '').split(',')
  const name = /^\s*("[^"]*")/.exec(structured)?.[1] ?? ''
  return policies.find((policy) => policy.trimStart().startsWith(name)) ?? ''
}
