import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account, AccountOptions } from './account.js'
import { type Answer, toAnswer, toFaultyAnswer, tooManyRequests, toRefusal } from './answer.js'
import { type BackendOptions, createBackends } from './backends.js'
import { deliver } from './deliver.js'
import { createFaults, type FaultKind, type FaultOptions, type Faults } from './faults.js'
import type { KeyedAccount } from './keyed-accounts.js'
import type { PageAsked } from './list-page.js'
import { type ListAsked, readListRequest } from './list-request.js'
import { type Budget, createRateLimiter, type RateLimitOptions } from './rate-limiter.js'
import { createRequestLog, type LoggedRequest } from './request-log.js'

export interface SimulatorOptions extends AccountOptions {
  /** 0 for any free one. Default 0. */
  readonly port?: number
  /** Default `127.0.0.1`. */
  readonly host?: string
  /** The key that opens the account. Default `spd_demo`. */
  readonly key?: string
  /** How many there are, all at the same rate limit: see `createKeyedAccounts`. Default 1. */
  readonly accounts?: number
  /** Servers behind the URL, one of which is drawn for each answer. Default one, up to date. */
  readonly backends?: BackendOptions
  /**
   * Whose list an answer shows: that of the key's account, or of each account in turn, whatever the key, as behind a proxy
   * that misroutes. Default `key`.
   */
  readonly routing?: 'key' | 'turns'
  /** Before each answer, in real milliseconds. Default 0. */
  readonly latencyMs?: number
  /** Default: 300 requests per 15 minutes. */
  readonly rateLimit?: RateLimitOptions | 'off'
  /** What happens to a limit over 50. Default `clamp`. */
  readonly overLimit?: 'clamp' | 'error'
  /** The limit of every page, whatever limit is asked for, as of a server that ignores it. Default none. */
  readonly fixedLimit?: number
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
  /** Of the first account. */
  readonly key: string
  /** The first account. */
  readonly account: Account
  /** All accounts, in the order of their numbers. */
  readonly accounts: readonly KeyedAccount[]
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
 * Starts Spidra accounts, one unless told otherwise, on a port of their own: `GET {url}/batch/scrape?page=&limit=`, as
 * the public documentation describes it, for any HTTP client. Rejects if it cannot listen.
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { port = 0, host = '127.0.0.1', key = 'spd_demo', overLimit = 'clamp', now = Date.now, seed = 1 } = options
  const { fixedLimit = null, routing = 'key' } = options
  const { accounts: count = 1, latencyMs = 0, rateLimit = {}, beforeAnswer, requestsKept = 1000 } = options
  const { rates, slowBodyMs = 1000, retryAfterSeconds = 60 } = options.faults ?? {}

  const backends = createBackends(key, count, options)
  const { accounts } = backends
  const accountsByKey = new Map(accounts.map((keyed) => [keyed.key, keyed]))
  const faults = createFaults(seed, rates)
  const limiter = createRateLimiter(rateLimit, now)
  const log = createRequestLog(requestsKept)
  const closing = new AbortController()
  let requestCount = 0
  let turns = 0

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requestCount += 1
    const number = requestCount
    const address = toAddress(request.socket.remoteAddress)
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: closing.signal })

    const budget = limiter.take(address, 1)
    const asked = readListRequest(request, { accountOf: (given) => accountsByKey.get(given), overLimit, fixedLimit })
    const { reply, fault, shown } = await replyTo(asked, budget, { number, address })
    log.add({
      number,
      account: shown?.account ?? ('page' in asked ? asked.from.number : null),
      backend: shown?.backend ?? null,
      page: 'page' in asked ? asked.page : null,
      limit: 'page' in asked ? asked.limit : null,
      at: now(),
      status: reply.delivery === 'hang' || reply.delivery === 'dropped' ? null : reply.status,
      address,
      fault,
      windowEndsAt: budget?.resetAt ?? null,
    })
    const headers = {
      ...limiter.budgetHeaders(budget),
      ...limiter.retryAfterHeaders(reply.retryAfterSeconds, reply.retryAfterForm),
    }
    await deliver(response, reply, { headers, slowBodyMs, signal: closing.signal })
  }

  async function replyTo(
    asked: ListAsked | Answer,
    budget: Budget | null,
    request: { readonly number: number; readonly address: string },
  ): Promise<{
    readonly reply: Answer
    readonly fault: FaultKind | null
    readonly shown: { readonly account: number; readonly backend: number } | null
  }> {
    if (budget?.isExceeded) return { reply: tooManyRequests(budget.resetSeconds), fault: null, shown: null }
    if ('status' in asked) return { reply: asked, fault: null, shown: null }

    const { page, limit } = asked
    const from = routing === 'turns' ? nextInTurn() : asked.from
    const { account, backend } = backends.draw(from, request.number)
    await beforeAnswer?.({ page, limit, ...request })
    const fault = faults.take({ number: request.number, page })
    const text = account.listText({ page, limit })
    const reply = fault === null ? toAnswer(200, text) : toFaultyAnswer(fault, text, retryAfterSeconds)
    return { reply, fault, shown: { account: from.number, backend } }
  }

  function nextInTurn(): KeyedAccount {
    turns += 1
    return accounts[(turns - 1) % accounts.length] ?? accounts[0]
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
    account: accounts[0].account,
    accounts,
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
