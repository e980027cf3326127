import { setTimeout as sleep } from 'node:timers/promises'
import pRetry from 'p-retry'
import { type ConnectionOptions, type ListRequest, openConnection, type TimedListBody } from './connection.js'
import { SpidraError, type SpidraErrorCode } from './errors.js'
import type { RateLimit } from './rate-limit-headers.js'
import type { RequestBudget } from './request-budget.js'

/**
 * Refusals of a page that cost no retry, because the budget waits for the next window. Eight windows in which others left
 * nothing are two hours.
 */
const MAX_FREE_ATTEMPTS = 8

const NOT_LIMITED = { isRateLimited: false, retryAfterMs: null }

export interface ClientTiming {
  /** No backoff of our own is longer, in milliseconds. What the API asks for may be. */
  readonly maxBackoffMs: number
  /** So that several workers that wait for the same second do not come back in the same instant, in milliseconds. */
  readonly toldWaitJitterMs: number
}

export interface SpidraClientOptions extends ConnectionOptions {
  /** After the first attempt. */
  readonly requestRetries: number
  /** Ceiling of the first backoff; doubles with every retry. */
  readonly retryBaseMs: number
  readonly timing: ClientTiming
  /**
   * Asked before every attempt, retries too. It waits out a 429, which then costs no retry. Default none: nothing is held
   * back, and a 429 is a failure like others.
   */
  readonly budget?: RequestBudget
  /** Hears of every attempt, but for one that an abort cut off. */
  readonly onRequest?: (event: RequestEvent) => void
  /** Hears of every wait before it begins. */
  readonly onWait?: (event: WaitEvent) => void
}

export interface RequestEvent {
  /** `bad_payload` also where `faultOf` found a fault, or a cache gave the answer. */
  readonly outcome: 'ok' | SpidraErrorCode
  /** 1 is the first; more are retries. */
  readonly attempt: number
  readonly durationMs: number
  readonly rateLimit: RateLimit | null
}

export interface WaitEvent {
  readonly reason: SpidraErrorCode
  readonly waitMs: number
  readonly page: number
  /** The one that failed. */
  readonly attempt: number
}

export interface PageRequest extends ListRequest {
  /**
   * Says in words what is wrong with an answer, or null. A faulty answer is asked for again. So is one out of a cache
   * (`Age` above 0), which is not judged.
   */
  readonly faultOf?: (answer: ListAnswer) => string | null
}

/** One answer of the list, as of one instant. */
export interface ListAnswer extends TimedListBody {
  /** What is still wrong after all retries; such an answer has items but proves nothing. Null: well-formed. */
  readonly fault: string | null
}

export interface SpidraClient {
  /**
   * Reads one page of `GET /batch/scrape`, with retries.
   *
   * @throws SpidraError when no usable answer came; the signal's reason when it aborts; what `faultOf` throws.
   */
  listPage(request: PageRequest): Promise<ListAnswer>
  /** Ends every request that is still under way. */
  close(): Promise<void>
}

/** A list that contradicts itself or comes from a cache. It carries items all the same, should it stay so. */
class FaultyAnswerError extends SpidraError {
  readonly answer: ListAnswer

  constructor(page: number, fault: string, answer: ListAnswer) {
    super(`Spidra answered 200, but page ${page} proves nothing: ${fault}`, { code: 'bad_payload', status: 200 })
    this.answer = { ...answer, fault }
  }
}

/** Opens a client with its own connections. */
export function createSpidraClient(options: SpidraClientOptions): SpidraClient {
  const connection = openConnection(options)

  async function attempt(asked: PageRequest, number: number): Promise<ListAnswer> {
    await options.budget?.acquire(asked.signal)
    const startedAt = performance.now()
    const { list, rateLimit, ageSeconds } = await connection.getList(asked).catch((error: unknown) => {
      options.budget?.observe(null, NOT_LIMITED)
      throw error
    })
    options.budget?.observe(rateLimit, limitedBy(list))
    let outcome: RequestEvent['outcome'] = 'ok'
    try {
      return toAnswer(list, ageSeconds, asked)
    } catch (error) {
      if (error instanceof SpidraError) outcome = error.code
      throw error
    } finally {
      options.onRequest?.({ outcome, attempt: number, durationMs: performance.now() - startedAt, rateLimit })
    }
  }

  /** Waits before the next attempt: as long as told, else full jitter under a doubling ceiling. */
  async function backOff(
    failure: SpidraError,
    { attempt, retriesConsumed }: { readonly attempt: number; readonly retriesConsumed: number },
    { page, signal }: PageRequest,
  ): Promise<void> {
    const ceilingMs = Math.min(options.timing.maxBackoffMs, options.retryBaseMs * 2 ** retriesConsumed)
    const waitMs =
      failure.retryAfterMs === null
        ? Math.random() * ceilingMs
        : failure.retryAfterMs + Math.random() * options.timing.toldWaitJitterMs
    options.onWait?.({ reason: failure.code, waitMs, page, attempt })
    await sleep(waitMs, undefined, { signal })
  }

  async function listPage(asked: PageRequest): Promise<ListAnswer> {
    let attempts = 0
    let refusals = 0

    // Inside of p-retry, which gives up where no retry is left, without asking whether the failure consumes one.
    async function attemptPastRefusals(): Promise<ListAnswer> {
      for (;;) {
        attempts += 1
        try {
          return await attempt(asked, attempts)
        } catch (error) {
          const isRefused = error instanceof SpidraError && error.code === 'rate_limited'
          if (!isRefused || options.budget === undefined || refusals >= MAX_FREE_ATTEMPTS) throw error
          refusals += 1
        }
      }
    }

    try {
      return await pRetry(attemptPastRefusals, {
        retries: options.requestRetries,
        minTimeout: 0,
        signal: asked.signal,
        shouldRetry: ({ error }) => error instanceof SpidraError && error.isRetryable,
        // p-retry's own jitter lies between once and twice the delay, so the wait is made here.
        onFailedAttempt: async ({ error, retriesConsumed, retriesLeft }) => {
          if (retriesLeft > 0 && error instanceof SpidraError && error.isRetryable) {
            await backOff(error, { attempt: attempts, retriesConsumed }, asked)
          }
        },
      })
    } catch (error) {
      // p-retry and sleep wrap some reasons of an abort.
      asked.signal.throwIfAborted()
      if (error instanceof FaultyAnswerError) return error.answer
      throw error
    }
  }

  return { listPage, close: connection.close }
}

/** What the budget must know of an answer, beside its headers. */
function limitedBy(
  list: TimedListBody | SpidraError,
): typeof NOT_LIMITED | { isRateLimited: true; retryAfterMs: number | null } {
  if (!(list instanceof SpidraError) || list.code !== 'rate_limited') return NOT_LIMITED
  return { isRateLimited: true, retryAfterMs: list.retryAfterMs }
}

function toAnswer(list: TimedListBody | SpidraError, ageSeconds: number, { page, faultOf }: PageRequest): ListAnswer {
  if (list instanceof SpidraError) throw list
  const answer: ListAnswer = { ...list, fault: null }
  const isCached = ageSeconds > 0
  const fault = isCached ? `it comes from a cache, ${ageSeconds} s old` : (faultOf?.(answer) ?? null)
  if (fault !== null) throw new FaultyAnswerError(page, fault, answer)
  return answer
}
