import { errors } from 'undici'
import { z } from 'zod'
import { errorCodeOf } from '../logging/error-code.js'
import { formatDuration } from '../logging/printable.js'
import { createRedact } from '../logging/redact.js'
import { type HeaderReader, readRetryAfterMs } from './rate-limit-headers.js'

/** Why an answer was unusable, in words a dashboard can group by. */
export type SpidraErrorCode =
  | 'unauthorized'
  | 'forbidden'
  | 'payment_required'
  | 'rate_limited'
  | 'server_error'
  | 'bad_payload'
  | 'timeout'
  | 'network'
  | 'rejected'

const RETRYABLE: ReadonlySet<SpidraErrorCode> = new Set([
  'rate_limited',
  'server_error',
  'bad_payload',
  'timeout',
  'network',
])

/** A request that brought no usable answer. It carries neither the API key nor the response body. */
export class SpidraError extends Error {
  override readonly name = 'SpidraError'
  readonly code: SpidraErrorCode
  /** HTTP status; null when no answer came. */
  readonly status: number | null
  /** How long the API asked us to wait, in milliseconds; null when it did not say. */
  readonly retryAfterMs: number | null

  constructor(
    message: string,
    details: { code: SpidraErrorCode; status: number | null; retryAfterMs?: number | null; cause?: unknown },
  ) {
    super(message, { cause: details.cause })
    this.code = details.code
    this.status = details.status
    this.retryAfterMs = details.retryAfterMs ?? null
  }

  /** Whether the same request may succeed later. */
  get isRetryable(): boolean {
    return RETRYABLE.has(this.code)
  }
}

/** Limit for quoting the API's error message, in characters. */
const MAX_QUOTE = 200

/** Every form of error body that the documentation and the SDKs know. Gateways answer with HTML instead. */
const errorBody = z
  .object({
    message: z.string().optional().catch(undefined),
    errors: z.array(z.string()).optional().catch(undefined),
    error: z.string().optional().catch(undefined),
    code: z.string().optional().catch(undefined),
    retry_after: z.number().optional().catch(undefined),
  })
  .catch({})

/** An answer with a status other than 200. */
export interface ErrorResponse {
  readonly status: number
  readonly statusText: string
  readonly header: HeaderReader
  readonly body: string
}

/** The API key that was sent. */
export interface SentKey {
  /** Removed from the quoted message, in case the API repeats it there. */
  readonly apiKey: string
  /** Where the key is configured, for the advice to check it. */
  readonly keyOrigin: string
}

/**
 * Converts an error response to a `SpidraError` whose message says what went wrong and what the user can do.
 *
 * @param now epoch milliseconds.
 */
export function toSpidraError(response: ErrorResponse, key: SentKey, now: number): SpidraError {
  const body = errorBody.parse(readJson(response.body))
  const code = codeOf(response.status, body.code)
  const candidates = [body.message, body.errors?.join('; '), body.error, response.statusText]
  const words = candidates.find((candidate) => candidate !== undefined && candidate.trim() !== '') ?? ''
  // The API may quote the key.
  const quoted = quote(createRedact([key.apiKey])(words))
  const retryAfterMs = readRetryAfterMs(response.header, body.retry_after, now, response.status)
  const { status } = response
  const advice = adviceOn({ code, status, retryAfterMs }, key)
  return new SpidraError(`Spidra answered ${status}${quoted}${advice}`, { code, status, retryAfterMs })
}

function codeOf(status: number, bodyCode: string | undefined): SpidraErrorCode {
  // The official SDKs retry such a request whatever its status.
  if (bodyCode === 'QUEUE_UNAVAILABLE' && status !== 429) return 'server_error'
  if (status === 401) return 'unauthorized'
  if (status === 402) return 'payment_required'
  if (status === 403) return 'forbidden'
  if (status === 408) return 'timeout'
  if (status === 429) return 'rate_limited'
  return status >= 500 ? 'server_error' : 'rejected'
}

/** Explains the status and says what to do. It does not depend on the API's own message. */
function adviceOn(
  { code, status, retryAfterMs }: Pick<SpidraError, 'code' | 'status' | 'retryAfterMs'>,
  { keyOrigin }: SentKey,
): string {
  switch (code) {
    case 'unauthorized':
      return `: it saw no key. Check ${keyOrigin} and SPIDRA_AUTH_SCHEME`
    case 'forbidden':
      // Both causes have this status, and the code must not depend on the wording of the API's message.
      return `: it refuses the key, or the month's credits are used up. Check ${keyOrigin}, and the credits of its account at Spidra`
    case 'payment_required':
      return ': pay the open invoice at Spidra, then the sync continues by itself'
    case 'rate_limited':
      return retryAfterMs === null ? '' : `: it asks for a wait of ${formatDuration(Math.ceil(retryAfterMs / 1000))}`
    case 'rejected':
      if (status === 404 || (status !== null && status < 400))
        return ': there is no job list at this address. Check SPIDRA_API_URL'
      return ': it refuses the request itself. Check SPIDRA_API_URL; if that is right, report this'
    default:
      return ''
  }
}

/**
 * Replaces control characters, which would break a log line or a terminal, and NUL and lone surrogates, which Postgres
 * refuses.
 */
function quote(words: string): string {
  const clean = words.replace(/[\p{C}\p{Z}]+/gu, ' ').trim()
  if (clean === '') return ''
  return ` (${clean.length > MAX_QUOTE ? `${clean.slice(0, MAX_QUOTE).toWellFormed()}...` : clean})`
}

function readJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return {}
  }
}

/** Where a request went that failed without an answer. */
export interface Destination {
  readonly apiUrl: string
  /** What was requested: `page 3`. */
  readonly name: string
  readonly requestTimeoutMs: number
  readonly isProxied: boolean
  /** Whether the socket was bound to SOURCE_ADDRESS. */
  readonly isBound: boolean
}

/**
 * Converts a failure without a complete answer to a `SpidraError` whose message says why and what the user can check.
 *
 * @param timedOut whether the time limit of the request passed.
 */
export function toNetworkError(error: unknown, timedOut: boolean, to: Destination): SpidraError {
  const { origin } = new URL(to.apiUrl)
  if (timedOut) {
    const message = `No answer from ${origin} for ${to.name} within ${to.requestTimeoutMs} ms (REQUEST_TIMEOUT_MS)`
    return new SpidraError(message, { code: 'timeout', status: null, cause: error })
  }
  const code = errorCodeOf(error)
  const reason = code === null ? '' : ` (${code})`
  if (isBindError(error)) {
    const rule = 'it must be an IP address of this machine, of the same family (IPv4 or IPv6) as the server or proxy'
    const message = `Nothing can be sent to ${origin} from SOURCE_ADDRESS${reason}: ${rule}`
    return new SpidraError(message, { code: 'network', status: null, cause: error })
  }
  const variables = [
    'SPIDRA_API_URL',
    ...(to.isProxied ? ['HTTPS_PROXY'] : []),
    ...(to.isBound ? ['SOURCE_ADDRESS'] : []),
  ]
  const check = `Check ${new Intl.ListFormat('en-GB').format(['the network', ...variables])}`
  return new SpidraError(`No answer from ${origin} for ${to.name}${reason}. ${check}`, {
    code: 'network',
    status: null,
    // undici attaches the bytes that it could not parse, and these may hold anything.
    cause: error instanceof errors.HTTPParserError ? undefined : error,
  })
}

/** `bind` assigns the source address to a socket. No other option of ours leads to that call. */
function isBindError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'bind'
}
