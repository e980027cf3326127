import {
  afterAnswer,
  afterSending,
  type BudgetAnswer,
  firstWindow,
  hasRoomFor,
  outlookOf,
  rollWindow,
  shareOf,
  type WindowTiming,
} from './budget-window.js'
import type { RateLimit } from './rate-limit-headers.js'

/** What a timer can hold, some 25 days. */
const MAX_TIMER_MS = 2 ** 31 - 1

export interface BudgetTiming extends WindowTiming {
  /** So that workers behind the same address do not come back in the same instant, in milliseconds. */
  readonly budgetJitterMs: number
}

export interface RequestBudgetOptions {
  /** Requests of a window as long as the API tells nothing; null: no limit then. */
  readonly requests: number | null
  /** Length of a window whose end the API does not tell. */
  readonly windowMs: number
  /** Share of each window that is left to others, 0 to less than 1. */
  readonly reserve: number
  readonly timing: BudgetTiming
  /** Epoch milliseconds. Default a clock that begins right and never jumps. */
  readonly now?: () => number
  /** From 0 to less than 1. Default `Math.random`. */
  readonly random?: () => number
  /** Hears of a wait before it begins: once a window, however many wait. */
  readonly onWait?: (wait: BudgetWait) => void
}

export interface BudgetWait {
  readonly waitMs: number
  readonly resumeAt: Date
}

/** What is left of a window. */
export interface BudgetRest {
  /** Requests that may still go. */
  readonly requests: number
  /** Requests of a whole window that are ours. */
  readonly share: number
  /** Until the window ends, in milliseconds. */
  readonly endsInMs: number
}

/** The budget as the API told it last. */
export interface ToldBudget {
  readonly limit: number
  readonly remaining: number
  readonly resetAt: Date | null
}

/**
 * The right to send requests. One is shared by all that send for the same address; it should outlive the single run,
 * because it counts what was sent in the window.
 */
export interface RequestBudget {
  /**
   * Waits until a request may go, behind those who wait already, and takes it. Each one taken must be handed to `observe` once.
   *
   * @throws the signal's reason, at once, when it aborts; nothing is taken then.
   */
  acquire(signal: AbortSignal): Promise<void>
  /** Whether a request could go now without waiting. */
  mayGo(): boolean
  /** Whether so many requests, or as many as a whole window has for us, may still go in this one, as far as is known. */
  hasRoomFor(requests: number): boolean
  /**
   * How long until there is room for so many requests, in milliseconds, as far as is known: 0 when there is, or only an
   * answer can tell.
   */
  roomInMs(requests: number): number
  /** What is left of the window for us; null: no limit or no end is known. */
  rest(): BudgetRest | null
  /** Takes in how a request ended. One without an answer, or cut off by an abort, is observed with nulls. */
  observe(rateLimit: RateLimit | null, outcome: Omit<BudgetAnswer, 'rateLimit'>): void
  /** Null: nothing told yet. */
  told(): ToldBudget | null
  /**
   * The same; where the API tells none, the configured limit less our own requests in the window. Null: nothing was asked
   * yet, or there is no limit.
   */
  toldOrCounted(): ToldBudget | null
}

/**
 * Creates the budget; `outlookOf` argues its arithmetic.
 *
 * First come, first served: nobody passes those who wait, not even when a request could go that very moment. Whoever
 * comes, and whoever was served and comes again, stands behind all of them. So while callers wait, each of them is served
 * once before any is served twice, and of several runs that share a budget none starves. One with several requests in
 * flight stands in the queue as often. All wait for the same thing, by one timer: who leaves by an abort takes nothing
 * along that the others need.
 */
export function createRequestBudget(options: RequestBudgetOptions): RequestBudget {
  const { requests, windowMs, reserve, timing, random = Math.random, onWait } = options
  const { now = () => performance.timeOrigin + performance.now() } = options
  // A set keeps the order in which they came, and lets one leave from the middle.
  const waiting = new Set<() => void>()
  let timer: NodeJS.Timeout | undefined
  let window = firstWindow(requests, timing)
  let announced = 0
  let told: ToldBudget | null = null

  function look() {
    const instant = now()
    window = rollWindow(window, instant)
    return { instant, outlook: outlookOf(window, reserve, instant) }
  }

  function acquire(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const go = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        waiting.delete(go)
        if (waiting.size === 0) clearTimeout(timer)
        reject(signal.reason)
      }
      waiting.add(go)
      signal.addEventListener('abort', leave, { once: true })
      serve()
    })
  }

  /** Lets those go who may, and looks again as soon as the next one might. */
  function serve(): void {
    clearTimeout(timer)
    for (const go of waiting) {
      const { instant, outlook } = look()
      if (!outlook.mayGo) {
        if (outlook.resumeAt !== null) pause(outlook.resumeAt, instant)
        return
      }
      window = afterSending(window, instant)
      waiting.delete(go)
      go()
    }
  }

  function pause(resumeAt: number, instant: number): void {
    const waitMs = Math.ceil(resumeAt - instant + random() * timing.budgetJitterMs)
    // Before the wait is told: who hears of it may abort at once.
    timer = setTimeout(serve, Math.min(waitMs, MAX_TIMER_MS))
    if (announced === window.number) return
    announced = window.number
    onWait?.({ waitMs, resumeAt: new Date(instant + waitMs) })
  }

  return {
    acquire,
    mayGo: () => look().outlook.mayGo && waiting.size === 0,
    hasRoomFor: (requests) => look().outlook.mayGo && hasRoomFor(window, requests, reserve),
    roomInMs(requests) {
      const { instant, outlook } = look()
      const hasRoom = outlook.mayGo && hasRoomFor(window, requests, reserve)
      const resumeAt = outlook.mayGo ? window.endsAt : outlook.resumeAt
      return hasRoom || resumeAt === null ? 0 : Math.max(0, resumeAt - instant)
    },
    rest() {
      const { instant } = look()
      const { limit, ours, remaining, inFlight, endsAt } = window
      if (limit === null || endsAt === null) return null
      const share = shareOf(limit, reserve)
      const requests = Math.max(0, Math.min(share - ours, (remaining ?? limit) - inFlight))
      return { requests, share, endsInMs: Math.max(0, endsAt - instant) }
    },
    observe(rateLimit, outcome) {
      const instant = now()
      window = afterAnswer(window, { rateLimit, ...outcome }, instant, windowMs)
      if (rateLimit !== null) {
        const { limit, remaining, resetInMs } = rateLimit
        told = { limit, remaining, resetAt: resetInMs === null ? null : new Date(instant + resetInMs) }
      }
      serve()
    },
    told: () => told,
    toldOrCounted() {
      look()
      const { limit, ours, endsAt, number, isUnsure } = window
      const isUnasked = number === 1 && isUnsure
      if (told !== null || limit === null || isUnasked) return told
      return { limit, remaining: Math.max(0, limit - ours), resetAt: endsAt === null ? null : new Date(endsAt) }
    },
  }
}
