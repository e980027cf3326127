import { setMaxListeners } from 'node:events'
import pRetry from 'p-retry'
import { EnvHttpProxyAgent, request } from 'undici'
import { errorCodeOf } from '../logging/error-code.js'
import type { AlertMessage } from './message.js'

export interface WebhookOptions {
  /** A secret: whoever knows it can post. Credentials in it go into a header. */
  readonly url: string
  /** For `https:` addresses, with the hosts that it is not for, as in `NO_PROXY`. */
  readonly proxy: { readonly url: string | null; readonly except: string | null }
  /** Per attempt. Default 10,000. */
  readonly timeoutMs?: number
  /** The first backoff; it doubles with every retry. Default 1,000. */
  readonly retryBaseMs?: number
}

export interface Webhook {
  /**
   * Posts the message, again after what may pass: no answer, 408, 429, 5xx. Redirects are not followed.
   *
   * @throws WebhookError when it was not taken; the signal's reason when it aborts.
   */
  post(message: AlertMessage, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** The webhook did not take a message. Says nothing of its address. */
export class WebhookError extends Error {
  override readonly name = 'WebhookError'
  readonly code: 'refused' | 'no_answer'
  /** HTTP status; null when no answer came. */
  readonly status: number | null

  constructor(message: string, details: { code: 'refused' | 'no_answer'; status: number | null }) {
    super(`${message}. Check ALERT_WEBHOOK_URL`)
    this.code = details.code
    this.status = details.status
  }

  /** Whether the same message may be taken later. */
  get isRetryable(): boolean {
    return this.status === null || this.status === 408 || this.status === 429 || this.status >= 500
  }
}

/** With the timeout and the backoffs, a message is given up within a minute. */
const RETRIES = 3

/** Answers are not read, only drained up to here. */
const MAX_ANSWER_BYTES = 16_384

/** Opens the webhook; no connection is made before the first message. */
export function openWebhook(options: WebhookOptions): Webhook {
  const { proxy, timeoutMs = 10_000, retryBaseMs = 1_000 } = options
  const { address, headers } = toTarget(options.url)
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  // undici never ends a socket that is still connecting, and for so long that keeps the process alive.
  const sockets = { timeout: timeoutMs, signal: closing.signal }
  const dispatcher = new EnvHttpProxyAgent({
    // Empty is none. Left out, undici would ask the environment.
    httpProxy: '',
    httpsProxy: proxy.url ?? '',
    noProxy: proxy.except ?? '',
    connect: sockets,
    proxyTls: sockets,
  })

  async function attempt(body: string, signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    const sending = request(address, { method: 'POST', dispatcher, headers, body, signal: limit }).catch(
      (error: unknown) => {
        signal.throwIfAborted()
        throw toNoAnswer(error, limit.aborted, timeoutMs)
      },
    )
    const { statusCode: status, body: answer } = await untilAborted(sending, limit, () =>
      toNoAnswer(null, true, timeoutMs),
    )
    await answer.dump({ limit: MAX_ANSWER_BYTES, signal: limit }).catch(() => {})
    if (status >= 200 && status < 300) return
    const words = status < 400 ? 'sends elsewhere, which is not followed' : 'did not take the alert'
    throw new WebhookError(`The alert webhook ${words} (HTTP ${status})`, { code: 'refused', status })
  }

  async function post(message: AlertMessage, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify(message)
    try {
      await pRetry(() => attempt(body, signal), {
        retries: RETRIES,
        minTimeout: retryBaseMs,
        randomize: true,
        signal,
        shouldRetry: ({ error }) => error instanceof WebhookError && error.isRetryable,
      })
    } catch (error) {
      // p-retry wraps some reasons of an abort.
      signal.throwIfAborted()
      throw error
    }
  }

  return {
    post,
    async close() {
      await dispatcher.destroy()
      closing.abort()
    },
  }
}

function toTarget(text: string): { readonly address: string; readonly headers: Readonly<Record<string, string>> } {
  const url = new URL(text)
  const credentials = `${decode(url.username)}:${decode(url.password)}`
  url.username = ''
  url.password = ''
  const headers = { 'content-type': 'application/json', 'user-agent': 'spidra-sync' }
  if (credentials === ':') return { address: url.href, headers }
  const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`
  return { address: url.href, headers: { ...headers, authorization } }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Rejects as soon as the signal aborts; undici heeds one only after it has connected. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal, toError: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(toError()), { once: true })
    work.then(resolve, reject)
  })
}

/** Without the cause: its message may hold the address. */
function toNoAnswer(error: unknown, isLate: boolean, timeoutMs: number): WebhookError {
  const code = errorCodeOf(error)
  const reason = code === null ? '' : ` (${code})`
  const message = isLate ? `gave no answer within ${timeoutMs} ms` : `cannot be reached${reason}`
  return new WebhookError(`The alert webhook ${message}`, { code: 'no_answer', status: null })
}
