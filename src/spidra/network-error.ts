import { errors } from 'undici'
import { errorCodeOf } from '../logging/error-code.js'
import { SpidraError } from './errors.js'

/** Where a request went that brought no answer. */
export interface Destination {
  readonly apiUrl: string
  readonly page: number
  readonly requestTimeoutMs: number
  readonly isProxied: boolean
  /** Whether it was to come from an address of its own. */
  readonly isBound: boolean
}

/** Names why no answer came, or only a part of one, and what the user can check. */
export function toNetworkError(error: unknown, timedOut: boolean, to: Destination): SpidraError {
  const { origin } = new URL(to.apiUrl)
  if (timedOut) {
    const message = `No answer from ${origin} for page ${to.page} within ${to.requestTimeoutMs} ms (REQUEST_TIMEOUT_MS)`
    return new SpidraError(message, { code: 'timeout', status: null, cause: error })
  }
  const code = errorCodeOf(error)
  const reason = code === null ? '' : ` (${code})`
  if (isAboutSource(error)) {
    const rule = 'it must be an IP address of this machine, of the family of the other end'
    const message = `Nothing can be sent to ${origin} from SOURCE_ADDRESS${reason}: ${rule}`
    return new SpidraError(message, { code: 'network', status: null, cause: error })
  }
  const variables = [
    'SPIDRA_API_URL',
    ...(to.isProxied ? ['HTTPS_PROXY'] : []),
    ...(to.isBound ? ['SOURCE_ADDRESS'] : []),
  ]
  const check = `Check ${new Intl.ListFormat('en-GB').format(['the network', ...variables])}`
  return new SpidraError(`No answer from ${origin} for page ${to.page}${reason}. ${check}`, {
    code: 'network',
    status: null,
    // What undici could not read as HTTP it carries along, and that may be anything.
    cause: error instanceof errors.HTTPParserError ? undefined : error,
  })
}

/** `bind` gives a socket its own address; nothing else here asks for one. */
function isAboutSource(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'bind'
}
