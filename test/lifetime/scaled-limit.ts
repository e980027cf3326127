import type { RateLimitOptions } from '../../src/simulator/rate-limiter.js'
import type { Simulator } from '../../src/simulator/server.js'

/** The documented rate limit of the API. */
export const LIMIT = { requests: 300, windowSeconds: 900 }

const OTHERS_SHARE = 0.5
/** Others send in portions, so many a window. */
const OTHERS_PORTIONS = 10

/** The length of a window in real milliseconds, where time goes `speed` times as fast. */
export function windowMsAt(speed: number): number {
  return (LIMIT.windowSeconds * 1000) / speed
}

/** The limit in scaled time. The reset is as exact as the real one is in its time. */
export function rateLimitAt(speed: number, retryAfter: 'seconds' | 'none'): RateLimitOptions {
  return { limit: LIMIT.requests, windowMs: windowMsAt(speed), reset: 'epochMs', retryAfter }
}

/** Uses up half of each window, as other programs at the address do, until it is disposed. */
export function spending(simulator: Simulator, speed: number): Disposable {
  const portion = (LIMIT.requests * OTHERS_SHARE) / OTHERS_PORTIONS
  const timer = setInterval(() => simulator.spend(portion), windowMsAt(speed) / OTHERS_PORTIONS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
