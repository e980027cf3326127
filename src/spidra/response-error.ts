import { z } from 'zod'
import { SpidraError, type SpidraErrorCode } from './errors.js'
import { type HeaderReader, readRetryAfterMs } from './rate-limit-headers.js'

/** The API's own words are quoted up to this length. */
const MAX_QUOTE = 200

/** Every form of error body that the documentation and the SDKs know; gateways answer HTML instead. */
const errorBody = z
  .object({
    message: z.string().optional().catch(undefined),
    errors: z.array(z.string()).optional().catch(undefined),
    error: z.string().optional().catch(undefined),
    code: z.string().optional().catch(undefined),
    retry_after: z.number().optional().catch(undefined),
  })
  .catch({})

/** An answer other than 200. */
export interface ErrorResponse {
  readonly status: number
  readonly statusText: string
  readonly header: HeaderReader
  readonly body: string
}

/** The key that was sent. */
export interface SentKey {
  /** It is taken out of the API's words, should it quote it. */
  readonly apiKey: string
  /** What to check where it is refused, in words. */
  readonly keyOrigin: string
}

/**
 * Names what went wrong and what the user can do about it.
 *
 * @param now epoch milliseconds.
 */
export function toSpidraError(response: ErrorResponse, key: SentKey, now: number): SpidraError {
  const body = errorBody.parse(readJson(response.body))
  const code = codeOf(response.status, body.code)
  const candidates = [body.message, body.errors?.join('; '), body.error, response.statusText]
  const words = candidates.find((candidate) => candidate !== undefined && candidate.trim() !== '') ?? ''
  const told = quote(withoutKey(words, key.apiKey))
  const retryAfterMs = readRetryAfterMs(response.header, body.retry_after, now, response.status)
  const { status } = response
  const advice = adviceOn({ code, status, retryAfterMs }, key)
  return new SpidraError(`Spidra answered ${status}${told}${advice}`, { code, status, retryAfterMs })
}

/** The API may quote the key as it stands in a URL or in JSON. */
function withoutKey(words: string, apiKey: string): string {
  const spellings = [encodeURIComponent(apiKey), encodeURI(apiKey), JSON.stringify(apiKey).slice(1, -1), apiKey]
  return spellings.reduce((text, spelling) => text.replaceAll(spelling, '[redacted]'), words)
}

function codeOf(status: number, bodyCode: string | undefined): SpidraErrorCode {
  // The official SDKs try such a request again, whatever its status.
  if (bodyCode === 'QUEUE_UNAVAILABLE' && status !== 429) return 'server_error'
  if (status === 401) return 'unauthorized'
  if (status === 402) return 'payment_required'
  if (status === 403) return 'forbidden'
  if (status === 408) return 'timeout'
  if (status === 429) return 'rate_limited'
  return status >= 500 ? 'server_error' : 'rejected'
}

/** What it means and what to do, in other words than the API's own. */
function adviceOn(
  { code, status, retryAfterMs }: Pick<SpidraError, 'code' | 'status' | 'retryAfterMs'>,
  { keyOrigin }: SentKey,
): string {
  switch (code) {
    case 'unauthorized':
      return `: it saw no key. Check ${keyOrigin} and SPIDRA_AUTH_SCHEME`
    case 'forbidden':
      // Both causes share the status, and the API's words are not for us to read.
      return `: it refuses the key, or the month's credits are used up. Check ${keyOrigin}, and the credits of its account at Spidra`
    case 'payment_required':
      return ': settle the account at Spidra, then the sync goes on by itself'
    case 'rate_limited':
      return retryAfterMs === null ? '' : `: it asks for a wait of ${Math.ceil(retryAfterMs / 1000)} s`
    case 'rejected':
      if (status === 404 || (status !== null && status < 400)) return ': no list of jobs there. Check SPIDRA_API_URL'
      return ': it refuses the request itself. Check SPIDRA_API_URL; if that is right, report this'
    default:
      return ''
  }
}

/** Control characters would break a log line or a terminal, lone surrogates and NUL a database. */
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
