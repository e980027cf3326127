import { setTimeout as sleep } from 'node:timers/promises'
import pRetry from 'p-retry'
import { EnvHttpProxyAgent, request } from 'undici'
import { SpidraError, type SpidraErrorCode } from './errors.js'
import { type HeaderReader, type RateLimit, readRateLimit } from './rate-limit-headers.js'
import { toSpidraError } from './response-error.js'
import { startTimeout } from './timeout.js'
import { type ListBody, parseListBody } from './wire.js'

/** A page of 50 jobs has 15 KB; what is a thousand times that is no page. */
const MAX_BODY_BYTES = 16 * 1024 * 1024

/** No backoff of our own is longer, in milliseconds. What the API tells us to wait may be. */
const MAX_BACKOFF_MS = 30_000

/** So that several workers told to wait for the same second do not come back in the same second. */
const TOLD_WAIT_JITTER_MS = 500

export interface SpidraClientOptions {
  /** Base URL without a slash at its end, as in `https://api.spidra.io/api`. */
  readonly apiUrl: string
  readonly apiKey: string
  readonly authScheme: 'x-api-key' | 'bearer'
  /** Per attempt, from the request to the last byte of the body. */
  readonly requestTimeoutMs: number
  /** After the first attempt. */
  readonly requestRetries: number
  /** Ceiling of the first backoff; doubles with every retry. */
  readonly retryBaseMs: number
  /** Hears of every attempt. */
  readonly onRequest?: (event: RequestEvent) => void
  /** Hears of every wait before it begins. */
  readonly onWait?: (event: WaitEvent) => void
}

export interface RequestEvent {
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
  readonly attempt: number
}

export interface PageRequest {
  /** From 1. */
  readonly page: number
  readonly limit: number
  readonly signal: AbortSignal
  /** Says in words what is wrong with an answer, or null. A faulty answer is asked for again. */
  readonly faultOf?: (answer: ListAnswer) => string | null
}

/** One answer of the list, as of one instant. */
export interface ListAnswer extends ListBody {
  /** Milliseconds on the clock of `performance.now()`, to tell which of two answers is older. */
  readonly askedAt: number
  readonly answeredAt: number
  /** What is still wrong after all retries; such an answer has items but proves nothing. Null: well-formed. */
  readonly fault: string | null
}

export interface SpidraClient {
  /**
   * Reads one page of `GET /batch/scrape`, with retries.
   *
   * @throws SpidraError when no usable answer came; the signal's reason when it aborts.
   */
  listPage(request: PageRequest): Promise<ListAnswer>
  close(): Promise<void>
}

/** Opens a client with its own connections. Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`). */
export function createSpidraClient(options: SpidraClientOptions): SpidraClient {
  const dispatcher = new EnvHttpProxyAgent()
  const headers = {
    accept: 'application/json',
    'user-agent': 'spidra-sync',
    ...(options.authScheme === 'bearer'
      ? { authorization: `Bearer ${options.apiKey}` }
      : { 'x-api-key': options.apiKey }),
  }

  /** One attempt. Its timeout is its own: a shared one would kill every retry. */
  async function attempt(asked: PageRequest, number: number): Promise<ListAnswer> {
    const askedAt = performance.now()
    using timeout = startTimeout(asked.signal, options.requestTimeoutMs)
    let rateLimit: RateLimit | null = null
    const report = (outcome: RequestEvent['outcome']) =>
      options.onRequest?.({ outcome, attempt: number, durationMs: performance.now() - askedAt, rateLimit })
    try {
      const response = await request(`${options.apiUrl}/batch/scrape?page=${asked.page}&limit=${asked.limit}`, {
        dispatcher,
        headers,
        signal: timeout.signal,
      })
      const header: HeaderReader = (name) => [response.headers[name] ?? null].flat()[0] ?? null
      rateLimit = readRateLimit(header, Date.now())
      const text = await readText(response.body)
      const answeredAt = performance.now()
      if (response.statusCode !== 200) {
        const { statusCode: status, statusText } = response
        throw toSpidraError({ status, statusText, header, body: text }, options.apiKey, Date.now())
      }
      const body = parseListBody(text)
      if (body === null) throw badPayload(`page ${asked.page} is not a list of jobs. Check SPIDRA_API_URL`)
      report('ok')
      return { ...body, askedAt, answeredAt, fault: null }
    } catch (error) {
      asked.signal.throwIfAborted()
      const failure = toFailure(error, timeout.timedOut, asked.page, options)
      report(failure.code)
      throw failure
    }
  }

  /** Waits before the next attempt: as long as told, else full jitter under a doubling ceiling. */
  async function backOff(failure: SpidraError, number: number, { page, signal }: PageRequest): Promise<void> {
    const ceilingMs = Math.min(MAX_BACKOFF_MS, options.retryBaseMs * 2 ** (number - 1))
    const waitMs =
      failure.retryAfterMs === null
        ? Math.random() * ceilingMs
        : failure.retryAfterMs + Math.random() * TOLD_WAIT_JITTER_MS
    options.onWait?.({ reason: failure.code, waitMs, page, attempt: number })
    await sleep(waitMs, undefined, { signal })
  }

  async function listPage(asked: PageRequest): Promise<ListAnswer> {
    let faulty: ListAnswer | null = null
    try {
      return await pRetry(
        async (number) => {
          const answer = await attempt(asked, number)
          const fault = asked.faultOf?.(answer) ?? null
          if (fault === null) return answer
          faulty = { ...answer, fault }
          throw badPayload(`page ${asked.page} contradicts itself: ${fault}`)
        },
        {
          retries: options.requestRetries,
          minTimeout: 0,
          signal: asked.signal,
          shouldRetry: ({ error }) => error instanceof SpidraError && error.isRetryable,
          // p-retry's own jitter lies between once and twice the delay, so the wait is made here.
          onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
            if (retriesLeft > 0 && error instanceof SpidraError && error.isRetryable) {
              await backOff(error, attemptNumber, asked)
            }
          },
        },
      )
    } catch (error) {
      asked.signal.throwIfAborted()
      // An answer that stays faulty still carries items; a page that was never answered does not.
      if (faulty !== null && error instanceof SpidraError && error.code === 'bad_payload') return faulty
      throw error
    }
  }

  return { listPage, close: () => dispatcher.close() }
}

/** Reads a body up to the size that a page can have. */
async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of body) {
    bytes += part.length
    if (bytes > MAX_BODY_BYTES) throw badPayload(`more than ${MAX_BODY_BYTES} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function badPayload(what: string): SpidraError {
  return new SpidraError(`Spidra answered 200, but ${what}`, { code: 'bad_payload', status: 200 })
}

function toFailure(error: unknown, timedOut: boolean, page: number, options: SpidraClientOptions): SpidraError {
  if (error instanceof SpidraError) return error
  const { origin } = new URL(options.apiUrl)
  if (timedOut) {
    const message = `No answer from ${origin} for page ${page} within ${options.requestTimeoutMs} ms (REQUEST_TIMEOUT_MS)`
    return new SpidraError(message, { code: 'timeout', status: null, cause: error })
  }
  const reason = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
  const message = `No answer from ${origin} for page ${page}${reason}. Check the network and SPIDRA_API_URL`
  return new SpidraError(message, { code: 'network', status: null, cause: error })
}
