import { setTimeout as sleep } from 'node:timers/promises'
import pRetry, { type RetryContext } from 'p-retry'
import {
  type AnswerTimes,
  type BatchRequest,
  type ConnectionOptions,
  type ListRequest,
  openConnection,
  type Received,
  type TimedListBody,
} from './connection.js'
import { SpidraError, type SpidraErrorCode } from './errors.js'
import type { RateLimit } from './rate-limit-headers.js'
import type { RequestBudget } from './request-budget.js'
import type { BatchBody, ListBody } from './wire.js'

/**
 * Limit for the 429 answers of one page that use up no retry, because the budget waits for the next window after each.
 * Eight windows in which others left nothing are two hours.
 */
const MAX_FREE_RETRIES = 8

const NOT_LIMITED = { isRateLimited: false, retryAfterMs: null }

export interface ClientTiming {
  /** Longest backoff, in milliseconds. A wait that the API asks for may be longer. */
  readonly maxBackoffMs: number
  /**
   * Jitter on top of a wait that the API asks for, in milliseconds, so that several workers that wait for the same
   * second do not come back at the same instant.
   */
  readonly retryAfterJitterMs: number
}

export interface SpidraClientOptions extends ConnectionOptions {
  /** Retries after the first attempt. */
  readonly requestRetries: number
  /** Upper limit of the first backoff; it doubles with every retry. */
  readonly retryBaseMs: number
  readonly timing: ClientTiming
  /**
   * Grants every attempt, retries too. It waits out a 429, which then uses up no retry. Default none: no attempt waits,
   * and a 429 is a failure like others.
   */
  readonly budget?: RequestBudget
  /** Called after every attempt, except one that an abort cut off. */
  readonly onRequest?: (event: RequestEvent) => void
  /** Called before every backoff. */
  readonly onWait?: (event: WaitEvent) => void
}

export interface RequestEvent {
  /** `bad_payload` also if `faultOf` found a fault, or the answer came from a cache. */
  readonly outcome: 'ok' | SpidraErrorCode
  /** From 1; more are retries. */
  readonly attempt: number
  readonly durationMs: number
  readonly rateLimit: RateLimit | null
}

export interface WaitEvent {
  readonly reason: SpidraErrorCode
  readonly waitMs: number
  readonly page: number
  /** The attempt that failed. */
  readonly attempt: number
}

export interface PageRequest extends ListRequest {
  /**
   * Says what is wrong with an answer; null when nothing is. A faulty answer is requested again. So is one from a cache
   * (`Age` above 0), for which this is not called.
   */
  readonly faultOf?: (answer: ListAnswer) => string | null
}

/** One answer of the list, as of one instant. */
export interface ListAnswer extends TimedListBody {
  /**
   * What is still wrong after all retries. The items of such an answer are usable, but it proves nothing. Null:
   * nothing.
   */
  readonly fault: string | null
}

export interface SpidraClient {
  /**
   * Reads one page of `GET /batch/scrape`, with retries.
   *
   * @throws SpidraError when no usable answer came; the signal's reason when it aborts; what `faultOf` throws.
   */
  listPage(request: PageRequest): Promise<ListAnswer>
  /**
   * Reads the items of one batch with `GET /batch/scrape/{uuid}`, by one attempt. Null: the API does not know the batch.
   *
   * @throws SpidraError when no usable answer came; the signal's reason when it aborts.
   */
  readBatch(request: BatchRequest): Promise<BatchBody | null>
  /** Whether it waits: for the request budget, or before a retry. */
  readonly isWaiting: boolean
  /** Ends every request that is still under way. */
  close(): Promise<void>
}

/** An answer that contradicts itself or comes from a cache. If the last attempt brings one too, its items are used. */
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
  /** The API has accepted the key. */
  let isKeyGood = false

  let waits = 0

  async function waiting(wait: Promise<void> | undefined): Promise<void> {
    waits += 1
    try {
      await wait
    } finally {
      waits -= 1
    }
  }

  async function attempt<Body, Result>(
    { send, check, signal }: Attempt<Body, Result>,
    number: number,
  ): Promise<Result> {
    await waiting(options.budget?.acquire(signal))
    const startedAt = performance.now()
    const { answer, rateLimit, ageSeconds } = await send().catch((error: unknown) => {
      options.budget?.observe(null, NOT_LIMITED)
      throw error
    })
    options.budget?.observe(rateLimit, limitedBy(answer))
    if (!(answer instanceof SpidraError)) isKeyGood = true
    let outcome: RequestEvent['outcome'] = 'ok'
    try {
      if (answer instanceof SpidraError) throw answer
      return check(answer, ageSeconds)
    } catch (error) {
      if (error instanceof SpidraError) outcome = error.code
      throw error
    } finally {
      options.onRequest?.({ outcome, attempt: number, durationMs: performance.now() - startedAt, rateLimit })
    }
  }

  /** Whether a failure uses up no retry: a 429 that the budget waits out before the next attempt. */
  function isFree({ error, attemptNumber, retriesConsumed }: RetryContext): boolean {
    const freeRetries = attemptNumber - 1 - retriesConsumed
    const isRefused = error instanceof SpidraError && error.code === 'rate_limited'
    return isRefused && options.budget !== undefined && freeRetries < MAX_FREE_RETRIES
  }

  /** The wait before a retry that is not free: as long as the API asks for, else full jitter under a doubling limit. */
  function backoffMs({ retryAfterMs }: SpidraError, retriesConsumed: number): number {
    const { maxBackoffMs, retryAfterJitterMs } = options.timing
    if (retryAfterMs !== null) return retryAfterMs + Math.random() * retryAfterJitterMs
    return Math.random() * Math.min(maxBackoffMs, options.retryBaseMs * 2 ** retriesConsumed)
  }

  async function listPage(asked: PageRequest): Promise<ListAnswer> {
    const { page, signal } = asked
    const once: Attempt<ListBody, ListAnswer> = {
      send: () => connection.getList(asked),
      check: (list, ageSeconds) => toAnswer(list, ageSeconds, asked),
      signal,
    }
    let unauthorized = 0
    /** One 401 for a key that the API has accepted may be an error of the server, so it is retried once. */
    const mayPass = (error: SpidraError) =>
      error.isRetryable || (error.code === 'unauthorized' && isKeyGood && unauthorized === 1)
    const shouldRetry = (context: RetryContext) =>
      context.error instanceof SpidraError &&
      mayPass(context.error) &&
      (isFree(context) || context.retriesConsumed < options.requestRetries)
    try {
      const count = (error: unknown) => {
        if (error instanceof SpidraError && error.code === 'unauthorized') unauthorized += 1
        throw error
      }
      return await pRetry((number) => attempt(once, number).catch(count), {
        // One more than allowed, because p-retry gives up without calling `shouldRetry` when none is left, and a free
        // retry must be possible even then. `shouldRetry` keeps the limit.
        retries: options.requestRetries + 1,
        minTimeout: 0,
        signal,
        shouldRetry,
        shouldConsumeRetry: (context) => !isFree(context),
        // p-retry's own jitter lies between once and twice the delay, so the backoff is made here.
        onFailedAttempt: async (context) => {
          const { error, attemptNumber, retriesConsumed } = context
          if (!(error instanceof SpidraError) || !shouldRetry(context) || isFree(context)) return
          const waitMs = backoffMs(error, retriesConsumed)
          options.onWait?.({ reason: error.code, waitMs, page, attempt: attemptNumber })
          await waiting(sleep(waitMs, undefined, { signal }))
        },
      })
    } catch (error) {
      // p-retry and sleep wrap some reasons of an abort.
      signal.throwIfAborted()
      if (error instanceof FaultyAnswerError) return error.answer
      throw error
    }
  }

  async function readBatch(asked: BatchRequest): Promise<BatchBody | null> {
    const once: Attempt<BatchBody, BatchBody> = {
      send: () => connection.getBatch(asked),
      check: (batch, ageSeconds) => {
        if (ageSeconds === 0) return batch
        const message = `Spidra answered 200, but batch ${asked.uuid} comes from a cache, ${ageSeconds} s old`
        throw new SpidraError(message, { code: 'bad_payload', status: 200 })
      },
      signal: asked.signal,
    }
    try {
      return await attempt(once, 1)
    } catch (error) {
      if (error instanceof SpidraError && error.status === 404) return null
      throw error
    }
  }

  return {
    listPage,
    readBatch,
    get isWaiting() {
      return waits > 0
    },
    close: connection.close,
  }
}

/** One request, and what is made of its answer. */
interface Attempt<Body, Result> {
  send(): Promise<Received<Body>>
  /** Returns the result, or throws the error that the answer is. */
  check(answer: Body & AnswerTimes, ageSeconds: number): Result
  readonly signal: AbortSignal
}

/** What the budget needs to know of an answer besides its headers. */
function limitedBy(answer: object): typeof NOT_LIMITED | { isRateLimited: true; retryAfterMs: number | null } {
  if (!(answer instanceof SpidraError) || answer.code !== 'rate_limited') return NOT_LIMITED
  return { isRateLimited: true, retryAfterMs: answer.retryAfterMs }
}

function toAnswer(list: TimedListBody, ageSeconds: number, { page, faultOf }: PageRequest): ListAnswer {
  const answer: ListAnswer = { ...list, fault: null }
  const isCached = ageSeconds > 0
  const fault = isCached ? `it comes from a cache, ${ageSeconds} s old` : (faultOf?.(answer) ?? null)
  if (fault !== null) throw new FaultyAnswerError(page, fault, answer)
  return answer
}
