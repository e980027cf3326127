import {
  afterAnswer,
  afterSending,
  type BudgetAnswer,
  decideSending,
  firstWindow,
  hasRoomFor,
  rollWindow,
  shareOf,
  type WindowTiming,
} from './budget-rules.js'
import type { RateLimit } from './rate-limit-headers.js'

/** The longest delay of a timer, some 25 days. */
const MAX_TIMER_MS = 2 ** 31 - 1

export interface BudgetTiming extends WindowTiming {
  /** Jitter in milliseconds, so that workers behind the same address do not come back at the same instant. */
  readonly budgetJitterMs: number
}

export interface RequestBudgetOptions {
  /** Requests per window as long as the API reports no limit; null: no limit then. */
  readonly requests: number | null
  /** Length of a window whose end the API does not report. */
  readonly windowMs: number
  /** Share of each window that is left to others, 0 to less than 1. */
  readonly reserve: number
  readonly timing: BudgetTiming
  /** Epoch milliseconds. Default a clock that starts with the system time and never jumps. */
  readonly now?: () => number
  /** From 0 to less than 1. Default `Math.random`. */
  readonly random?: () => number
  /** Called before a wait begins: once a window, however many callers wait. */
  readonly onWait?: (wait: BudgetWait) => void
}

export interface BudgetWait {
  readonly waitMs: number
  /** By the clock of this machine. */
  readonly resumeAt: Date
}

/** What is left of a window for us. */
export interface BudgetRest {
  /** Requests that we may still send. */
  readonly requests: number
  /** Our share of a whole window, in requests. */
  readonly share: number
  /** Until the window ends, in milliseconds. */
  readonly endsInMs: number
}

/**
 * Grants the right to send requests. All who send from the same address share one. It must outlive a single run,
 * because it counts the requests of the window.
 */
export interface RequestBudget {
  /**
   * Waits until a request may be sent, after those who wait already, and takes it. `observe` must be called once for
   * each one taken.
   *
   * @throws the signal's reason, at once, when it aborts; nothing is taken then.
   */
  acquire(signal: AbortSignal): Promise<void>
  /** Whether a request could be sent now without waiting. */
  mayGo(): boolean
  /**
   * Whether this number of requests, or our whole share of a window if that is fewer, may still be sent in the current
   * window, as far as is known.
   */
  hasRoomFor(requests: number): boolean
  /**
   * How long until there is room for this number of requests, in milliseconds, as far as is known. 0 when there is
   * room, and when it depends on an answer still in flight.
   */
  roomInMs(requests: number): number
  /** How long those who wait for the next window must still wait, in milliseconds. 0: nobody waits. */
  waitMs(): number
  /** What is left of the window for us; null: no limit or no end is known. */
  rest(): BudgetRest | null
  /** Records how a request ended. For one without an answer, or cut off by an abort, pass nulls. */
  observe(rateLimit: RateLimit | null, outcome: Omit<BudgetAnswer, 'rateLimit'>): void
  /** The budget that the API last reported, its reset counted from now (below 0: it has passed). Null: none yet. */
  reported(): RateLimit | null
  /**
   * The same. If the API reports none, the configured limit less our own requests in the window. Null: no request was
   * sent yet, or there is no limit.
   */
  known(): RateLimit | null
}

/**
 * Creates the budget. `decideSending` holds its arithmetic.
 *
 * Callers are served first come, first served: nobody passes those who wait, even if a request could be sent that very
 * moment. A caller that was served and comes again queues behind all others. So each waiting caller is served once
 * before any is served twice, and of several runs that share a budget none starves. A caller with several requests in
 * flight has as many places in the queue. All wait on one timer, so a caller that leaves by an abort disturbs no other.
 */
export function createRequestBudget(options: RequestBudgetOptions): RequestBudget {
  const { requests, windowMs, reserve, timing, random = Math.random, onWait } = options
  const { now = () => performance.timeOrigin + performance.now() } = options
  // What people read must be the time by the clock, from which the monotonic one drifts over weeks, or when it is set.
  const clock = options.now ?? Date.now
  // A set keeps the order of arrival and can delete from the middle.
  const waiting = new Set<() => void>()
  let timer: NodeJS.Timeout | undefined
  let window = firstWindow(requests, timing)
  let announced = 0
  let resumesAt = 0
  let lastReport: { readonly rateLimit: RateLimit; readonly at: number } | null = null

  function check() {
    const instant = now()
    window = rollWindow(window, instant)
    return { instant, decision: decideSending(window, reserve, instant) }
  }

  function acquire(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const grant = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        waiting.delete(grant)
        if (waiting.size === 0) clearTimeout(timer)
        reject(signal.reason)
      }
      waiting.add(grant)
      signal.addEventListener('abort', leave, { once: true })
      serve()
    })
  }

  /** Grants as many requests as may be sent now, and sets the timer for the next one. */
  function serve(): void {
    clearTimeout(timer)
    for (const grant of waiting) {
      const { instant, decision } = check()
      if (!decision.mayGo) {
        if (decision.resumeAt !== null) pause(decision.resumeAt, instant)
        return
      }
      window = afterSending(window, instant)
      waiting.delete(grant)
      grant()
    }
  }

  function pause(resumeAt: number, instant: number): void {
    const waitMs = Math.ceil(resumeAt - instant + random() * timing.budgetJitterMs)
    // Set before onWait is called, because the listener may abort at once.
    timer = setTimeout(serve, Math.min(waitMs, MAX_TIMER_MS))
    resumesAt = instant + waitMs
    if (announced === window.number) return
    announced = window.number
    onWait?.({ waitMs, resumeAt: new Date(clock() + waitMs) })
  }

  function reported(): RateLimit | null {
    if (lastReport === null) return null
    const { rateLimit, at } = lastReport
    return { ...rateLimit, resetInMs: rateLimit.resetInMs === null ? null : rateLimit.resetInMs - (now() - at) }
  }

  return {
    acquire,
    mayGo: () => check().decision.mayGo && waiting.size === 0,
    hasRoomFor: (requests) => check().decision.mayGo && hasRoomFor(window, requests, reserve),
    roomInMs(requests) {
      const { instant, decision } = check()
      const hasRoom = decision.mayGo && hasRoomFor(window, requests, reserve)
      const resumeAt = decision.mayGo ? window.endsAt : decision.resumeAt
      return hasRoom || resumeAt === null ? 0 : Math.max(0, resumeAt - instant)
    },
    waitMs: () => (waiting.size === 0 ? 0 : Math.max(0, resumesAt - now())),
    rest() {
      const { instant } = check()
      const { limit, ours, remaining, inFlight, endsAt } = window
      if (limit === null || endsAt === null) return null
      const share = shareOf(limit, reserve)
      const requests = Math.max(0, Math.min(share - ours, (remaining ?? limit) - inFlight))
      return { requests, share, endsInMs: Math.max(0, endsAt - instant) }
    },
    observe(rateLimit, outcome) {
      const instant = now()
      window = afterAnswer(window, { rateLimit, ...outcome }, instant, windowMs)
      if (rateLimit !== null) lastReport = { rateLimit, at: instant }
      serve()
    },
    reported,
    known() {
      const { instant } = check()
      const { limit, ours, endsAt, number, needsProbe } = window
      const isUnused = number === 1 && needsProbe
      if (lastReport !== null || limit === null || isUnused) return reported()
      return { limit, remaining: Math.max(0, limit - ours), resetInMs: endsAt === null ? null : endsAt - instant }
    },
  }
}
