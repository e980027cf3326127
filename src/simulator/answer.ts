import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** An answer before it is sent: its content, and how it is delivered. */
export interface Answer {
  readonly status: number
  readonly contentType: 'application/json; charset=utf-8' | 'text/html'
  readonly body: string
  /** `cut` ends the connection in the middle of the body, `dropped` before the answer; `hang` never answers. */
  readonly delivery: 'whole' | 'slow' | 'cut' | 'dropped' | 'hang'
  /** Value for a `Retry-After` header, in seconds; null for no such header. */
  readonly retryAfterSeconds: number | null
  /** Form of that header; null for the form that the rate limiter uses. */
  readonly retryAfterForm: 'date' | null
}

/** Number of pieces in which a slow body is sent. */
const SLOW_PIECES = 10

export const TOO_MANY_REQUESTS = 'Too many requests, please try again later.'

export function toAnswer(status: number, body: string): Answer {
  const contentType = 'application/json; charset=utf-8'
  return { status, contentType, body, delivery: 'whole', retryAfterSeconds: null, retryAfterForm: null }
}

/** An error answer as the API words it. `more` holds further fields, such as `code`. */
export function toRefusal(status: number, message: string, more: Readonly<Record<string, unknown>> = {}): Answer {
  return toAnswer(status, JSON.stringify({ status: 'error', message, ...more }))
}

export function tooManyRequests(retryAfterSeconds: number): Answer {
  return { ...toRefusal(429, TOO_MANY_REQUESTS), retryAfterSeconds }
}

/** Sends an answer in the way that its `delivery` says. Resolves when everything is written. */
export async function deliver(
  response: ServerResponse,
  answer: Answer,
  options: { readonly headers: OutgoingHttpHeaders; readonly slowBodyMs: number; readonly signal: AbortSignal },
): Promise<void> {
  if (answer.delivery === 'hang') return
  if (answer.delivery === 'dropped') {
    response.destroy()
    return
  }

  const body = Buffer.from(answer.body)
  response.writeHead(answer.status, {
    'Content-Type': answer.contentType,
    'Content-Length': body.length,
    ...options.headers,
  })
  switch (answer.delivery) {
    case 'whole':
      response.end(body)
      return
    case 'cut':
      response.write(body.subarray(0, Math.floor(body.length / 2)), () => response.destroy())
      return
    case 'slow': {
      const size = Math.ceil(body.length / SLOW_PIECES)
      for (let start = 0; start < body.length; start += size) {
        response.write(body.subarray(start, start + size))
        await sleep(options.slowBodyMs / SLOW_PIECES, undefined, { signal: options.signal })
      }
      response.end()
      return
    }
    default:
      answer.delivery satisfies never
  }
}
