import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Account, type AccountOptions, createAccount } from './account.js'
import { type Answer, toAnswer, toFaultyAnswer, tooManyRequests, toRefusal } from './answer.js'
import { deliver } from './deliver.js'
import { createFaults, type FaultKind, type FaultOptions, type Faults } from './faults.js'
import type { PageAsked } from './list-page.js'
import { readListRequest } from './list-request.js'
import { type Budget, createRateLimiter, type RateLimitOptions } from './rate-limiter.js'
import { createRequestLog, type LoggedRequest } from './request-log.js'

export interface SimulatorOptions extends AccountOptions {
  /** 0 for any free one. Default 0. */
  readonly port?: number
  /** Default `127.0.0.1`. */
  readonly host?: string
  /** The key that opens the account. Default `spd_demo`. */
  readonly key?: string
  /** Before each answer, in real milliseconds. Default 0. */
  readonly latencyMs?: number
  /** Default: 300 requests per 15 minutes. */
  readonly rateLimit?: RateLimitOptions | 'off'
  /** What happens to a limit over 50. Default `clamp`. */
  readonly overLimit?: 'clamp' | 'error'
  readonly faults?: FaultOptions
  /** Called when a request is about to be answered, its page not read yet. */
  readonly beforeAnswer?: (request: AnsweredRequest) => void | Promise<void>
  /** How many of the last requests are remembered. Default 1000. */
  readonly requestsKept?: number
}

export interface AnsweredRequest extends PageAsked {
  /** From 1, in the order in which requests came. */
  readonly number: number
  readonly address: string
}

export interface Simulator extends AsyncDisposable {
  /** Base URL, ending in `/api`. */
  readonly url: string
  readonly port: number
  readonly key: string
  readonly account: Account
  readonly faults: Faults
  /** The last requests, oldest first. */
  readonly requests: readonly LoggedRequest[]
  /** All requests since the start. */
  readonly requestCount: number
  /** Uses up budget, as other programs at the same address (default `127.0.0.1`) would. */
  spend(requests: number, address?: string): void
  /** Stops listening and ends every connection at once, hanging ones too. */
  close(): Promise<void>
}

/**
 * Starts a Spidra account on a port of its own: `GET {url}/batch/scrape?page=&limit=`, as the public documentation
 * describes it, for any HTTP client. Rejects if it cannot listen.
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { port = 0, host = '127.0.0.1', key = 'spd_demo', overLimit = 'clamp', now = Date.now, seed = 1 } = options
  const { latencyMs = 0, rateLimit = {}, beforeAnswer, requestsKept = 1000 } = options
  const { rates, slowBodyMs = 1000, retryAfterSeconds = 60 } = options.faults ?? {}

  const account = createAccount(options)
  const faults = createFaults(seed, rates)
  const limiter = createRateLimiter(rateLimit, now)
  const log = createRequestLog(requestsKept)
  const closing = new AbortController()
  let requestCount = 0

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requestCount += 1
    const number = requestCount
    const address = toAddress(request.socket.remoteAddress)
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: closing.signal })

    const budget = limiter.take(address, 1)
    const asked = readListRequest(request, { key, overLimit })
    const { reply, fault } = await replyTo(asked, budget, { number, address })
    log.add({
      number,
      page: 'page' in asked ? asked.page : null,
      limit: 'page' in asked ? asked.limit : null,
      at: now(),
      status: reply.delivery === 'hang' || reply.delivery === 'dropped' ? null : reply.status,
      address,
      fault,
    })
    const headers = {
      ...limiter.budgetHeaders(budget),
      ...limiter.retryAfterHeaders(reply.retryAfterSeconds, reply.retryAfterForm),
    }
    await deliver(response, reply, { headers, slowBodyMs, signal: closing.signal })
  }

  async function replyTo(
    asked: PageAsked | Answer,
    budget: Budget | null,
    from: { readonly number: number; readonly address: string },
  ): Promise<{ readonly reply: Answer; readonly fault: FaultKind | null }> {
    if (budget?.isExceeded) return { reply: tooManyRequests(budget.resetSeconds), fault: null }
    if ('status' in asked) return { reply: asked, fault: null }

    await beforeAnswer?.({ ...asked, ...from })
    const fault = faults.take({ number: from.number, page: asked.page })
    const text = account.listText(asked)
    return { reply: fault === null ? toAnswer(200, text) : toFaultyAnswer(fault, text, retryAfterSeconds), fault }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      // A hook of a test that throws should be seen by the test; a connection that close() ended needs no answer.
      if (closing.signal.aborted || response.headersSent) response.destroy()
      else
        void deliver(response, toRefusal(500, `simulator: ${error}`), {
          headers: {},
          slowBodyMs,
          signal: closing.signal,
        })
    })
  })
  // Behind a load balancer connections stay open; with Node's 5 s, one reused at that moment fails.
  server.keepAliveTimeout = 65_000

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const listening = server.address()
  const actualPort = typeof listening === 'object' && listening !== null ? listening.port : port

  async function close(): Promise<void> {
    closing.abort()
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }

  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}/api`,
    port: actualPort,
    key,
    account,
    faults,
    get requests() {
      return log.last
    },
    get requestCount() {
      return requestCount
    },
    spend: (requests, address = '127.0.0.1') => void limiter.take(address, requests),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** IPv4 clients of a socket that listens on both families come as `::ffff:127.0.0.1`. */
function toAddress(remote: string | undefined): string {
  return (remote ?? 'unknown').replace(/^::ffff:/, '')
}
