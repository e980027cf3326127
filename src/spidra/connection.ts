import { setMaxListeners } from 'node:events'
import { request } from 'undici'
import { MAX_BODY_BYTES, readBody } from './body.js'
import { type DispatcherOptions, openDispatcher } from './dispatcher.js'
import { SpidraError } from './errors.js'
import { toNetworkError } from './network-error.js'
import { type HeaderReader, type RateLimit, readRateLimit } from './rate-limit-headers.js'
import { toSpidraError } from './response-error.js'
import { startTimeout } from './timeout.js'
import { type ListBody, parseListBody } from './wire.js'

export interface ConnectionOptions extends DispatcherOptions {
  /** Base URL without a slash at its end, as in `https://api.spidra.io/api`. */
  readonly apiUrl: string
  readonly apiKey: string
  /** What to check where the key is refused, in words. Default `SPIDRA_API_KEY`. */
  readonly keyOrigin?: string
  readonly authScheme: 'x-api-key' | 'bearer'
  /** Per attempt, from the request to the last byte of the body. */
  readonly requestTimeoutMs: number
}

/** The body of an answer, as of one instant. */
export interface TimedListBody extends ListBody {
  /** Milliseconds on the clock of `performance.now()`, to tell which of two answers is older. */
  readonly askedAt: number
  readonly answeredAt: number
}

/** What one request brought. */
export interface Received {
  readonly list: TimedListBody | SpidraError
  /** Errors tell it too. Null: nothing was told. */
  readonly rateLimit: RateLimit | null
  /** The server's clock by its `Date` header, in epoch milliseconds, to the second. Null: nothing was told. */
  readonly serverTime: number | null
  /** How long a cache has held the answer, by its `Age` header, in seconds. 0: it comes from no cache, as far as it says. */
  readonly ageSeconds: number
}

/** Where a connection asks: one page, from 1. */
export interface ListRequest {
  readonly page: number
  readonly limit: number
  readonly signal: AbortSignal
}

export interface Connection {
  /** One `GET /batch/scrape`, never repeated or redirected. Throws only the signal's reason, when it aborts. */
  getList(asked: ListRequest): Promise<Received>
  /** Ends every request that is still under way. */
  close(): Promise<void>
}

/** Opens connections to the API. */
export function openConnection(options: ConnectionOptions): Connection {
  const { apiUrl, apiKey, authScheme, requestTimeoutMs, proxy, sourceAddress } = options
  const { keyOrigin = 'SPIDRA_API_KEY' } = options
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  const dispatcher = openDispatcher(options, closing.signal)
  const headers = {
    accept: 'application/json',
    // An answer of the past shows what the list no longer is.
    'cache-control': 'no-cache',
    'user-agent': 'spidra-sync',
    ...(authScheme === 'bearer' ? { authorization: `Bearer ${apiKey}` } : { 'x-api-key': apiKey }),
  }

  async function getList({ page, limit, signal }: ListRequest): Promise<Received> {
    const askedAt = performance.now()
    using timeout = startTimeout(signal, requestTimeoutMs)
    let rateLimit: RateLimit | null = null
    let serverTime: number | null = null
    let ageSeconds = 0
    try {
      const url = `${apiUrl}/batch/scrape?page=${page}&limit=${limit}`
      const work = request(url, { dispatcher, headers, signal: timeout.signal })
      const response = await untilAborted(work, timeout.signal)
      const header: HeaderReader = (name) => [response.headers[name] ?? null].flat()[0] ?? null
      rateLimit = readRateLimit(header, Date.now())
      serverTime = readDate(header('date'))
      ageSeconds = readAge(header('age'))
      if (response.statusCode !== 200) {
        const { statusCode: status, statusText } = response
        // The status says what to do, even where the body breaks off or never ends.
        const body = (await readBody(response.body).catch(() => null)) ?? ''
        throw toSpidraError({ status, statusText, header, body }, { apiKey, keyOrigin }, Date.now())
      }
      const text = await readBody(response.body)
      const answeredAt = performance.now()
      if (text === null) throw badPayload(`page ${page} is larger than ${MAX_BODY_BYTES} bytes`)
      const body = parseListBody(text)
      if (body === null) throw badPayload(`page ${page} is not a list of jobs`)
      return { list: { ...body, askedAt, answeredAt }, rateLimit, serverTime, ageSeconds }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof SpidraError) return { list: error, rateLimit, serverTime, ageSeconds }
      const isProxied = typeof proxy?.url === 'string' && apiUrl.startsWith('https:')
      const isBound = typeof sourceAddress === 'string'
      const failure = toNetworkError(error, timeout.timedOut, { apiUrl, page, requestTimeoutMs, isProxied, isBound })
      return { list: failure, rateLimit, serverTime, ageSeconds }
    }
  }

  async function close(): Promise<void> {
    // Not undici's close(): that waits for answers, which a proxy that hangs never gives.
    await dispatcher.destroy()
    closing.abort()
  }

  return { getList, close }
}

/** Rejects with the signal's reason at once; undici heeds a signal only after it has connected. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    work.then(resolve, reject)
  })
}

function readDate(text: string | null): number | null {
  const instant = Date.parse(text ?? '')
  return Number.isNaN(instant) ? null : instant
}

/** Whole seconds; a larger number than caches count to is read as their largest (RFC 9111, section 1.2.2). */
function readAge(text: string | null): number {
  return text !== null && /^\d+$/.test(text) ? Math.min(Number(text), 2 ** 31) : 0
}

function badPayload(what: string): SpidraError {
  return new SpidraError(`Spidra answered 200, but ${what}. Check SPIDRA_API_URL`, { code: 'bad_payload', status: 200 })
}
