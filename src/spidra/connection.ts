import { setMaxListeners } from 'node:events'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { type Dispatcher, EnvHttpProxyAgent, Pool, request } from 'undici'
import { errorCodeOf } from '../logging/error-code.js'
import { createJsonRedact, createRedact, MIN_LENGTH_ANY_SPELLING } from '../logging/redact.js'
import { SpidraError, toNetworkError, toSpidraError } from './errors.js'
import { type HeaderReader, type RateLimit, readRateLimit } from './rate-limit-headers.js'
import { type BatchBody, type ListBody, parseBatchBody, parseListBody } from './wire.js'

/** Time limit for opening a connection. The next attempt opens a new one. */
const CONNECT_TIMEOUT_MS = 10_000

/** Limit for a page, compressed or not. A page of 50 jobs has 15 KB; a body a thousand times as large is not a page. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024

/** Limit for the items of a batch with their results, compressed or not. */
const MAX_BATCH_BYTES = 64 * 1024 * 1024

/** Most encodings that may be applied to one body. */
const MAX_ENCODINGS = 2

const [gunzip, brotliDecompress, inflate, inflateRaw] = [
  promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gunzip),
  promisify<Uint8Array, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress),
  promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflate),
  promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflateRaw),
]

type Decompress = (body: Uint8Array, options: { readonly maxOutputLength: number }) => Promise<Buffer>

/** By the name in `Content-Encoding`. Servers mean both forms by `deflate`: with a header of zlib, as the RFC says, and without. */
const DECOMPRESS: Readonly<Record<string, Decompress>> = {
  gzip: gunzip,
  'x-gzip': gunzip,
  br: brotliDecompress,
  deflate: (body, options) => (hasZlibHeader(body) ? inflate : inflateRaw)(body, options),
  identity: async (body) => Buffer.from(body),
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

export interface ConnectionOptions {
  /** Base URL without a slash at its end, as in `https://api.spidra.io/api`. */
  readonly apiUrl: string
  readonly apiKey: string
  /** Where the key is configured, for the advice to check it. Default `SPIDRA_API_KEY`. */
  readonly keyOrigin?: string
  readonly authScheme: 'x-api-key' | 'bearer'
  /** Per attempt, from the request to the last byte of the body. */
  readonly requestTimeoutMs: number
  /** Proxy for `https:` addresses; `except` lists hosts as `NO_PROXY` does. Default none. */
  readonly proxy?: { readonly url: string | null; readonly except: string | null }
  /** Local IP address that every connection is bound to, also one to a proxy. Null, the default: any. */
  readonly sourceAddress?: string | null
}

/** When an answer was requested and received, in milliseconds on the clock of `performance.now()`. */
export interface AnswerTimes {
  readonly askedAt: number
  readonly answeredAt: number
}

/** The parsed body of an answer of the list. Its times show which of two answers is older. */
export type TimedListBody = ListBody & AnswerTimes

/** The result of one request. */
export interface Received<Body = ListBody> {
  readonly answer: (Body & AnswerTimes) | SpidraError
  /** The budget that the answer reported, error answers too. Null: it reported none. */
  readonly rateLimit: RateLimit | null
  /** The server's clock by its `Date` header, in epoch milliseconds, to the second. Null: no such header. */
  readonly serverTime: number | null
  /** How long a cache has held the answer, by its `Age` header, in seconds. 0: no cache, as far as the answer says. */
  readonly ageSeconds: number
}

/** One page of the list, from 1. */
export interface ListRequest {
  readonly page: number
  readonly limit: number
  readonly signal: AbortSignal
}

/** The items of one batch. */
export interface BatchRequest {
  readonly uuid: string
  readonly signal: AbortSignal
}

/** How one kind of request is sent and its answer read. */
interface Endpoint<Body> {
  readonly path: string
  /** As the subject of a sentence: `page 3`. */
  readonly name: string
  readonly mostBytes: number
  /** What a body must be, for the message about another one: `a list of jobs`. */
  readonly kind: string
  /** What to do about a body that is none; empty where nothing is to be done. */
  readonly advice: string
  parse(text: string): Body | null
}

export interface Connection {
  /** Sends one `GET /batch/scrape`, without retries or redirects. Throws only the signal's reason, when it aborts. */
  getList(asked: ListRequest): Promise<Received>
  /** Sends one `GET /batch/scrape/{uuid}`, in the same way. */
  getBatch(asked: BatchRequest): Promise<Received<BatchBody>>
  /** Ends every request that is still under way. */
  close(): Promise<void>
}

/** Opens a pool of connections to the API. */
export function openConnection(options: ConnectionOptions): Connection {
  const { apiUrl, apiKey, authScheme, requestTimeoutMs, proxy, sourceAddress } = options
  const { keyOrigin = 'SPIDRA_API_KEY' } = options
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  const dispatcher = openDispatcher(options, closing.signal)
  // The items are stored and shown to other people, and the key is the one secret that the API knows. A key as short as a word
  // of the data stays: without it the data would be wrong.
  const withoutKey = createJsonRedact(createRedact(apiKey.length < MIN_LENGTH_ANY_SPELLING ? [] : [apiKey]))
  const headers = {
    accept: 'application/json',
    'accept-encoding': 'gzip, br, deflate',
    // An answer from a cache may list jobs that are gone.
    'cache-control': 'no-cache',
    'user-agent': 'spidra-sync',
    ...(authScheme === 'bearer' ? { authorization: `Bearer ${apiKey}` } : { 'x-api-key': apiKey }),
  }

  async function get<Body extends object>(endpoint: Endpoint<Body>, signal: AbortSignal): Promise<Received<Body>> {
    const { path, name, mostBytes, kind, advice, parse } = endpoint
    const askedAt = performance.now()
    using timeout = startTimeout(signal, requestTimeoutMs)
    let rateLimit: RateLimit | null = null
    let serverTime: number | null = null
    let ageSeconds = 0
    try {
      const work = request(`${apiUrl}${path}`, { dispatcher, headers, signal: timeout.signal })
      const response = await untilAborted(work, timeout.signal)
      const header: HeaderReader = (field) => [response.headers[field] ?? null].flat()[0] ?? null
      rateLimit = readRateLimit(header, Date.now())
      serverTime = readDate(header('date'))
      ageSeconds = readAge(header('age'))
      if (response.statusCode !== 200) {
        const { statusCode: status, statusText } = response
        // The status is enough for the error, even if the body breaks off or never ends.
        const body = await readText(response.body, header, new TextDecoder(), mostBytes).catch(() => '')
        throw toSpidraError({ status, statusText, header, body }, { apiKey, keyOrigin }, Date.now())
      }
      const text = await readText(response.body, header, UTF8, mostBytes).catch((error: unknown) => {
        throw error instanceof BodyError ? badPayload(`${name} ${error.message}`, advice) : error
      })
      const answeredAt = performance.now()
      const body = readBody(() => parse(withoutKey(text)))
      if (body === null) throw badPayload(`${name} is not ${kind}`, advice)
      return { answer: { ...body, askedAt, answeredAt }, rateLimit, serverTime, ageSeconds }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof SpidraError) return { answer: error, rateLimit, serverTime, ageSeconds }
      const isProxied = typeof proxy?.url === 'string' && apiUrl.startsWith('https:')
      const isBound = typeof sourceAddress === 'string'
      const failure = toNetworkError(error, timeout.timedOut, { apiUrl, name, requestTimeoutMs, isProxied, isBound })
      return { answer: failure, rateLimit, serverTime, ageSeconds }
    }
  }

  const getList = ({ page, limit, signal }: ListRequest) =>
    get(
      {
        path: `/batch/scrape?page=${page}&limit=${limit}`,
        name: `page ${page}`,
        mostBytes: MAX_PAGE_BYTES,
        kind: 'a list of jobs',
        advice: '. Check SPIDRA_API_URL',
        parse: parseListBody,
      },
      signal,
    )

  const getBatch = ({ uuid, signal }: BatchRequest) =>
    get(
      {
        path: `/batch/scrape/${uuid}`,
        name: `batch ${uuid}`,
        mostBytes: MAX_BATCH_BYTES,
        kind: 'a list of items',
        advice: '',
        parse: (text) => parseBatchBody(text, uuid),
      },
      signal,
    )

  async function close(): Promise<void> {
    // undici's close() would wait for answers, and a proxy that hangs never gives one.
    await dispatcher.destroy()
    closing.abort()
  }

  return { getList, getBatch, close }
}

/**
 * Opens the socket pool. It ignores the proxy variables of the process's environment.
 *
 * @param signal ends the sockets that are still connecting.
 */
function openDispatcher(
  { proxy, sourceAddress }: Pick<ConnectionOptions, 'proxy' | 'sourceAddress'>,
  signal: AbortSignal,
): Dispatcher {
  const bound = typeof sourceAddress === 'string' ? { localAddress: sourceAddress } : {}
  const sockets = {
    timeout: CONNECT_TIMEOUT_MS,
    // undici never ends a socket that is still connecting, and such a socket keeps the process alive.
    signal,
    // A host may have addresses of both families; only those of the source's family can be reached from it.
    ...(typeof sourceAddress === 'string' ? { family: isIP(sourceAddress) } : {}),
  }
  return new EnvHttpProxyAgent({
    // Empty means no proxy. If an option were left out, undici would read the environment.
    httpProxy: '',
    httpsProxy: proxy?.url ?? '',
    noProxy: proxy?.except ?? '',
    // Only our own time limit counts; undici's would cut a longer one at 300 s.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: sockets,
    proxyTls: sockets,
    ...bound,
    // undici itself binds only connections that use no proxy.
    clientFactory: (origin, options) => new Pool(origin, { ...options, ...bound }),
  })
}

/** A signal with a time limit. Dispose of it when the work is done. */
export interface Timeout extends Disposable {
  readonly signal: AbortSignal
  /** Whether the limit passed; false when only the parent aborted. */
  readonly timedOut: boolean
}

/** Aborts with `parent`, or after `ms`. Unlike `AbortSignal.any` it leaves nothing behind on a long-lived parent. */
export function startTimeout(parent: AbortSignal, ms: number): Timeout {
  const controller = new AbortController()
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    controller.abort()
  }, ms)
  const abort = () => controller.abort(parent.reason)
  if (parent.aborted) abort()
  parent.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    get timedOut() {
      return timedOut
    },
    [Symbol.dispose]() {
      clearTimeout(timer)
      parent.removeEventListener('abort', abort)
    },
  }
}

/** Rejects as soon as the signal aborts; undici reacts to a signal only after it has connected. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    work.then(resolve, reject)
  })
}

/** What is wrong with a body, as the end of a sentence. */
class BodyError extends Error {}

/**
 * Reads a body as text, without a byte order mark: unpacks it by its `Content-Encoding`, also where none was requested.
 *
 * @param mostBytes limit for its size, packed and unpacked.
 * @throws {BodyError} for a larger body, for one that cannot be unpacked, and for one that the decoder refuses
 */
async function readText(
  body: AsyncIterable<Uint8Array>,
  header: HeaderReader,
  decoder: { decode(bytes: Uint8Array): string },
  mostBytes: number,
): Promise<string> {
  const bytes = await unpack(await readBytes(body, mostBytes), header('content-encoding') ?? '', mostBytes)
  try {
    return decoder.decode(bytes)
  } catch {
    throw new BodyError('is not valid UTF-8')
  }
}

async function readBytes(body: AsyncIterable<Uint8Array>, mostBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body) {
    bytes += part.length
    if (bytes > mostBytes) throw tooLarge(mostBytes)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** Undoes the encodings, the last one first. */
async function unpack(body: Uint8Array, encodings: string, mostBytes: number): Promise<Uint8Array> {
  const names = encodings
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  let unpacked = body
  for (const name of names.reverse()) {
    const decompress = Object.hasOwn(DECOMPRESS, name) ? DECOMPRESS[name] : undefined
    // The name is not quoted: it may hold anything.
    if (decompress === undefined || names.length > MAX_ENCODINGS) throw new BodyError('has an unknown Content-Encoding')
    unpacked = await decompress(unpacked, { maxOutputLength: mostBytes }).catch((error: unknown) => {
      throw errorCodeOf(error) === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(mostBytes) : new BodyError('cannot be unpacked')
    })
  }
  return unpacked
}

function tooLarge(mostBytes: number): BodyError {
  return new BodyError(`is larger than ${mostBytes} bytes`)
}

/** Whether the bytes begin with the two of RFC 1950: method 8, and a multiple of 31. */
function hasZlibHeader([method = 0, flags = 0]: Uint8Array): boolean {
  return (method & 0x0f) === 8 && (method * 256 + flags) % 31 === 0
}

function readDate(text: string | null): number | null {
  const instant = Date.parse(text ?? '')
  return Number.isNaN(instant) ? null : instant
}

/** Reads an age in whole seconds, at most 2^31, the largest that caches count to (RFC 9111, section 1.2.2). */
function readAge(text: string | null): number {
  return text !== null && /^\d+$/.test(text) ? Math.min(Number(text), 2 ** 31) : 0
}

/** Null also for a text that is too large or too deep for the engine: a `RangeError`. */
function readBody<Body>(read: () => Body | null): Body | null {
  try {
    return read()
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

function badPayload(what: string, advice: string): SpidraError {
  return new SpidraError(`Spidra answered 200, but ${what}${advice}`, { code: 'bad_payload', status: 200 })
}
