/** The API's window is 15 minutes. A longer wait is a mistake of the server, or its clock differs from ours. */
const MAX_WAIT_MS = 900_000

/** The request budget that an answer reported. */
export interface RateLimit {
  readonly limit: number
  readonly remaining: number
  /** Until the next window begins, in milliseconds from the answer; null when the answer did not say. */
  readonly resetInMs: number | null
}

/** Reads one header, by its lower-case name. */
export type HeaderReader = (name: string) => string | null

/**
 * Reads the request budget from the first of these forms that is present:
 * 1. `RateLimit-Limit`, `-Remaining`, `-Reset`;
 * 2. `RateLimit` of the IETF drafts 7 (`limit=60, remaining=5, reset=12`) and 8 (`"p";r=0;t=25` beside
 *    `RateLimit-Policy: "p";q=60;w=900`);
 * 3. `X-RateLimit-Limit`, `-Remaining`, `-Reset`.
 *
 * @param now epoch milliseconds, for a reset given as a date.
 * @returns null when the answer says nothing usable.
 */
export function readRateLimit(header: HeaderReader, now: number): RateLimit | null {
  const structured = header('ratelimit')
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
 * Reads how long an answer asks us to wait, in milliseconds: `Retry-After` (seconds or a date), else `retry_after` of
 * the body (seconds), else the reset of the window. At most 15 minutes.
 *
 * Every answer carries the reset. It means a wait only if the budget is used up: on a 429, or when nothing remains.
 *
 * @param now epoch milliseconds.
 * @returns null when the answer asks for no wait; `Retry-After: 0` asks for none.
 */
export function readRetryAfterMs(
  header: HeaderReader,
  bodyRetryAfter: unknown,
  now: number,
  status: number,
): number | null {
  const retryAfter = header('retry-after')
  const isBudgetSpent = status === 429 || readRateLimit(header, now)?.remaining === 0
  const candidates = [
    (toCount(retryAfter) ?? 0) * 1000,
    // `Retry-After: 0` lies in the past when it is read as a date.
    Date.parse(retryAfter ?? '') - now,
    typeof bodyRetryAfter === 'number' ? bodyRetryAfter * 1000 : 0,
    isBudgetSpent ? (readResetMs(header, now) ?? 0) : 0,
  ]
  const wait = candidates.find((candidate) => candidate > 0)
  return wait === undefined ? null : clampWait(wait)
}

/**
 * Reads the reset, in milliseconds from now. The documentation calls it a Unix timestamp, the official SDK reads
 * seconds from now: the magnitude shows which one it is.
 */
function readResetMs(header: HeaderReader, now: number): number | null {
  const structured = header('ratelimit')
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

/** Parses a number of at most 15 digits: enough for every timestamp and budget, and never Infinity. */
function toCount(value: string | null | undefined): number | null {
  return value?.match(/^\s*\d{1,15}(\.\d+)?\s*$/) ? Number(value) : null
}

/** Reads a parameter of a structured header: `limit` of `limit=60, remaining=5`, `r` of `"p";r=0;t=25`. */
function parameter(structured: string | null | undefined, name: string): number | null {
  return toCount(structured?.match(new RegExp(`(?:^|[;,\\s])${name}=(\\d+)`))?.[1])
}

/** Picks the policy that the `RateLimit` header refers to, by its name in draft 8; without a name the first one. */
function policyOf(structured: string | null, header: HeaderReader): string | undefined {
  const name = structured?.match(/"[^"]*"/)?.[0] ?? ''
  const policies = header('ratelimit-policy')?.split(',')
  return policies?.find((policy) => policy.trimStart().startsWith(name))
}
