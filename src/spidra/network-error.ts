import { errors } from 'undici'
import { SpidraError } from './errors.js'

/** Where a request went that brought no answer. */
export interface Destination {
  readonly apiUrl: string
  readonly page: number
  readonly requestTimeoutMs: number
  readonly isProxied: boolean
}

/** Names why no answer came, or only a part of one, and what the user can check. */
export function toNetworkError(error: unknown, timedOut: boolean, to: Destination): SpidraError {
  const { origin } = new URL(to.apiUrl)
  if (timedOut) {
    const message = `No answer from ${origin} for page ${to.page} within ${to.requestTimeoutMs} ms (REQUEST_TIMEOUT_MS)`
    return new SpidraError(message, { code: 'timeout', status: null, cause: error })
  }
  const reason = error instanceof Error && 'code' in error && error.code !== undefined ? ` (${String(error.code)})` : ''
  const check = to.isProxied
    ? 'Check the network, SPIDRA_API_URL and HTTPS_PROXY'
    : 'Check the network and SPIDRA_API_URL'
  return new SpidraError(`No answer from ${origin} for page ${to.page}${reason}. ${check}`, {
    code: 'network',
    status: null,
    // What undici could not read as HTTP it carries along, and that may be anything.
    cause: error instanceof errors.HTTPParserError ? undefined : error,
  })
}
