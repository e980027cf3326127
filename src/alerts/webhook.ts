import { setMaxListeners } from 'node:events'
import pRetry from 'p-retry'
import { EnvHttpProxyAgent, request } from 'undici'
import type { AlertMessage } from './message.js'

export interface WebhookOptions {
  /** A secret, because it allows everybody who has it to post. Credentials in it are sent in a header. */
  readonly url: string
  /** The proxy for `https:` addresses; `except` lists the hosts to reach without it, as `NO_PROXY` does. */
  readonly proxy: { readonly url: string | null; readonly except: string | null }
  /** Per attempt, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number
  /** The first backoff in milliseconds; it doubles with every retry. Default 1,000. */
  readonly retryBaseMs?: number
}

/** An open webhook. */
export interface Webhook {
  /**
   * Posts the message. Retries after no answer, 408, 429 and 5xx. Does not follow redirects.
   *
   * @throws WebhookError when the message was not accepted; the signal's reason when it aborts
   */
  post(message: AlertMessage, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** The webhook did not accept a message. The error does not contain the address, which is a secret. */
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

  /** Whether a retry may succeed. */
  get isRetryable(): boolean {
    return this.status === null || this.status === 408 || this.status === 429 || this.status >= 500
  }
}

/** With the default timeout and backoffs all attempts together take less than a minute. */
const RETRIES = 3

/** Bytes of an answer that are drained at most. Its text is not used. */
const MAX_ANSWER_BYTES = 16_384

/** Opens the webhook. The first message opens the first connection. */
export function openWebhook(options: WebhookOptions): Webhook {
  const { proxy, timeoutMs = 10_000, retryBaseMs = 1_000 } = options
  const { address, headers } = toTarget(options.url)
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  // undici does not end a socket that is still connecting, which would keep the process alive.
  const sockets = { timeout: timeoutMs, signal: closing.signal }
  const dispatcher = new EnvHttpProxyAgent({
    // Empty means none. Without these options undici reads the environment.
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
    const words = status < 400 ? 'answered with a redirect, which is not followed' : 'did not accept the alert'
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
      // p-retry wraps some abort reasons.
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

/** Rejects as soon as the signal aborts, because undici ignores a signal until it has connected. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal, toError: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(toError()), { once: true })
    work.then(resolve, reject)
  })
}

/** Describes an error without its cause, whose message may contain the address. */
function toNoAnswer(error: unknown, isLate: boolean, timeoutMs: number): WebhookError {
  const reason = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
  const message = isLate ? `gave no answer within ${timeoutMs} ms` : `cannot be reached${reason}`
  return new WebhookError(`The alert webhook ${message}`, { code: 'no_answer', status: null })
}
