import type { OutgoingHttpHeaders } from 'node:http'

export interface RateLimitOptions {
  /** Requests per window and client address. Default 300. */
  readonly limit?: number
  /** Length of a window, which begins with a client's first request. Default 900000. */
  readonly windowMs?: number
  /**
   * Form of the reset in the forms with three headers: seconds from now (as the API sends it), a Unix timestamp (as it
   * is documented), or one in milliseconds, for windows shorter than a second. Default `seconds`.
   */
  readonly reset?: 'seconds' | 'epoch' | 'epochMs'
  /**
   * Three headers `RateLimit-*` (`legacy`), the single header of IETF draft 7 or 8, or three headers `X-RateLimit-*`.
   * Default `legacy`. With `none` here and for `retryAfter`, a 429 does not say how long to wait.
   */
  readonly headers?: 'legacy' | 'draft7' | 'draft8' | 'x' | 'none'
  /** Form of the `Retry-After` header of a 429. Default `seconds`. */
  readonly retryAfter?: 'seconds' | 'date' | 'none'
}

/** A client's budget after a request was counted. */
export interface Budget {
  readonly limit: number
  readonly remaining: number
  /** When the window ends, epoch ms. */
  readonly resetAt: number
  /** Seconds until then, rounded up. */
  readonly resetSeconds: number
  readonly isExceeded: boolean
}

export interface RateLimiter {
  /** Counts requests of an address; null if the limit is off. */
  take(address: string, requests: number): Budget | null
  budgetHeaders(budget: Budget | null): OutgoingHttpHeaders
  /** @param form for this answer; null for the configured one. */
  retryAfterHeaders(seconds: number | null, form?: 'date' | null): OutgoingHttpHeaders
}

/** Creates a fixed window per client address, as express-rate-limit has it (https://github.com/express-rate-limit). */
export function createRateLimiter(options: RateLimitOptions | 'off', now: () => number): RateLimiter {
  const isOff = options === 'off'
  const {
    limit = 300,
    windowMs = 900_000,
    reset = 'seconds',
    headers = 'legacy',
    retryAfter = 'seconds',
  } = isOff ? {} : options
  const windows = new Map<string, { endsAt: number; used: number }>()

  function take(address: string, requests: number): Budget | null {
    if (isOff) return null
    const instant = now()
    const last = windows.get(address)
    const window = last !== undefined && instant < last.endsAt ? last : { endsAt: instant + windowMs, used: 0 }
    window.used += requests
    windows.set(address, window)
    return {
      limit,
      remaining: Math.max(0, limit - window.used),
      resetAt: window.endsAt,
      resetSeconds: Math.ceil((window.endsAt - instant) / 1000),
      isExceeded: window.used > limit,
    }
  }

  function budgetHeaders(budget: Budget | null): OutgoingHttpHeaders {
    if (budget === null) return {}
    const { remaining, resetAt, resetSeconds } = budget
    const windowSeconds = Math.ceil(windowMs / 1000)
    switch (headers) {
      case 'legacy':
      case 'x': {
        const prefix = headers === 'x' ? 'X-' : ''
        return {
          [`${prefix}RateLimit-Limit`]: limit,
          [`${prefix}RateLimit-Remaining`]: remaining,
          [`${prefix}RateLimit-Reset`]: toReset(resetAt, resetSeconds),
        }
      }
      case 'draft7':
        return {
          'RateLimit-Policy': `${limit};w=${windowSeconds}`,
          RateLimit: `limit=${limit}, remaining=${remaining}, reset=${resetSeconds}`,
        }
      case 'draft8':
        return {
          'RateLimit-Policy': `"default";q=${limit};w=${windowSeconds}`,
          RateLimit: `"default";r=${remaining};t=${resetSeconds}`,
        }
      case 'none':
        return {}
      default:
        return headers satisfies never
    }
  }

  function toReset(resetAt: number, resetSeconds: number): number {
    switch (reset) {
      case 'seconds':
        return resetSeconds
      case 'epoch':
        return Math.ceil(resetAt / 1000)
      case 'epochMs':
        return Math.ceil(resetAt)
      default:
        return reset satisfies never
    }
  }

  function retryAfterHeaders(seconds: number | null, form: 'date' | null = null): OutgoingHttpHeaders {
    const usedForm = form ?? retryAfter
    if (seconds === null || usedForm === 'none') return {}
    return { 'Retry-After': usedForm === 'seconds' ? seconds : new Date(now() + seconds * 1000).toUTCString() }
  }

  return { take, budgetHeaders, retryAfterHeaders }
}
