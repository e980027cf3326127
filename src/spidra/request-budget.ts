import { setTimeout as sleep } from 'node:timers/promises'
import {
  afterAnswer,
  afterSending,
  type BudgetAnswer,
  firstWindow,
  hasRoomFor,
  outlookOf,
  rollWindow,
} from './budget-window.js'
import type { RateLimit } from './rate-limit-headers.js'

/** So that workers behind the same address do not come back in the same instant, in milliseconds. */
const JITTER_MS = 50

/** What a timer can hold; only waits that an answer in flight will end are this long. */
const MAX_TIMER_MS = 2 ** 31 - 1

export interface RequestBudgetOptions {
  /** Requests of a window as long as the API tells nothing; null: no limit then. */
  readonly requests: number | null
  /** Length of a window whose end the API does not tell. */
  readonly windowMs: number
  /** Share of each window that is left to others, 0 to less than 1. */
  readonly reserve: number
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
   * Waits until a request may go, and takes it. Each one taken must be handed to `observe` once.
   *
   * @throws the signal's reason, at once, when it aborts; nothing is taken then.
   */
  acquire(signal: AbortSignal): Promise<void>
  /** Whether a request could go now without waiting. */
  mayGo(): boolean
  /** How long until a request may go, in milliseconds, as far as is known: 0 when it may, or only an answer can tell. */
  resumesInMs(): number
  /** Whether so many requests, or as many as a whole window has for us, may still go in this one, as far as is known. */
  hasRoomFor(requests: number): boolean
  /** Takes in how a request ended. One without an answer, or cut off by an abort, is observed with nulls. */
  observe(rateLimit: RateLimit | null, outcome: Omit<BudgetAnswer, 'rateLimit'>): void
  /** Null: nothing told yet. */
  told(): ToldBudget | null
}

/** Creates the budget; `outlookOf` argues its arithmetic. */
export function createRequestBudget(options: RequestBudgetOptions): RequestBudget {
  const { requests, windowMs, reserve, random = Math.random, onWait } = options
  const { now = () => performance.timeOrigin + performance.now() } = options
  const wakers = new Set<() => void>()
  let window = firstWindow(requests)
  let announced = 0
  let told: ToldBudget | null = null

  function look() {
    const instant = now()
    window = rollWindow(window, instant)
    return { instant, outlook: outlookOf(window, reserve, instant) }
  }

  async function acquire(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted()
      const { instant, outlook } = look()
      if (outlook.mayGo) {
        // No await lies between the look and the taking: of several that wait, none takes another's request.
        window = afterSending(window, instant)
        return
      }
      await pause(outlook.resumeAt, instant, signal)
    }
  }

  /** Until the instant, if there is one, or until something new is known. */
  async function pause(resumeAt: number | null, instant: number, signal: AbortSignal): Promise<void> {
    const waitMs = resumeAt === null ? MAX_TIMER_MS : Math.ceil(resumeAt - instant + random() * JITTER_MS)
    const woken = new AbortController()
    const wake = () => woken.abort()
    wakers.add(wake)
    // Before the wait is told: who hears of it may abort at once.
    signal.addEventListener('abort', wake, { once: true })
    try {
      if (resumeAt !== null && announced !== window.number) {
        announced = window.number
        onWait?.({ waitMs, resumeAt: new Date(instant + waitMs) })
      }
      await sleep(waitMs, undefined, { signal: woken.signal })
    } catch (error) {
      // Woken: the caller looks again.
      if (!woken.signal.aborted) throw error
    } finally {
      wakers.delete(wake)
      signal.removeEventListener('abort', wake)
    }
  }

  return {
    acquire,
    mayGo: () => look().outlook.mayGo,
    resumesInMs() {
      const { instant, outlook } = look()
      return outlook.mayGo || outlook.resumeAt === null ? 0 : Math.max(0, outlook.resumeAt - instant)
    },
    hasRoomFor: (requests) => look().outlook.mayGo && hasRoomFor(window, requests, reserve),
    observe(rateLimit, outcome) {
      const instant = now()
      window = afterAnswer(window, { rateLimit, ...outcome }, instant, windowMs)
      if (rateLimit !== null) {
        const { limit, remaining, resetInMs } = rateLimit
        told = { limit, remaining, resetAt: resetInMs === null ? null : new Date(instant + resetInMs) }
      }
      for (const wake of wakers) wake()
    },
    told: () => told,
  }
}
