import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account, AccountOptions, PageAsked } from './account.js'
import { type Answer, deliver, toAnswer, tooManyRequests, toRefusal } from './answer.js'
import { type BackendOptions, createBackends, type KeyedAccount } from './backends.js'
import {
  createFaults,
  type FaultKind,
  type FaultOptions,
  type Faults,
  toFaultyAnswer,
  toFaultyBatch,
} from './faults.js'
import { type Budget, createRateLimiter, type RateLimitOptions } from './rate-limiter.js'

export interface SimulatorOptions extends AccountOptions {
  /** 0 for any free port. Default 0. */
  readonly port?: number
  /** Default `127.0.0.1`. */
  readonly host?: string
  /** The API key of the first account. Default `spd_demo`. */
  readonly key?: string
  /** Number of accounts, which share the rate limit. The n-th has the key `<key>_<n>`. Default 1. */
  readonly accounts?: number
  /** Servers behind the URL. One is drawn for each answer. Default one, up to date. */
  readonly backends?: BackendOptions
  /**
   * Whose list an answer shows: that of the key's account, or each account's in turn, as behind a proxy that misroutes.
   * Default `key`.
   */
  readonly routing?: 'key' | 'turns'
  /** Delay before each answer, in real milliseconds. Default 0. */
  readonly latencyMs?: number
  /** Default: 300 requests per 15 minutes. */
  readonly rateLimit?: RateLimitOptions | 'off'
  /** What happens to a limit over 50: it is reduced to 50, or refused with 422. Default `clamp`. */
  readonly overLimit?: 'clamp' | 'error'
  /** The limit of every page, as of a server that ignores the requested one. Default none. */
  readonly fixedLimit?: number
  /** What answers a page after the end of the list: one without jobs, or 404. Default `empty`. */
  readonly pastEnd?: 'empty' | 'not_found'
  readonly faults?: FaultOptions
  /** Called before a page is read and its request is answered. */
  readonly beforeAnswer?: (request: AnsweredRequest) => void | Promise<void>
  /** Called before a request for the items of a batch is answered. */
  readonly beforeBatch?: (uuid: string) => void | Promise<void>
  /** How many of the last requests are kept in `requests`. Default 1000. */
  readonly requestsKept?: number
}

export interface AnsweredRequest extends PageAsked {
  /** From 1, in order of arrival. */
  readonly number: number
  readonly address: string
}

/** A request as the simulator answered it. */
export interface LoggedRequest {
  /** From 1, in order of arrival. */
  readonly number: number
  /**
   * Number of the account whose list was shown, else requested. Null, like page and limit, if the request was refused
   * earlier.
   */
  readonly account: number | null
  /** Which backend answered, from 1: the first is up to date. Null if none was needed. */
  readonly backend: number | null
  readonly page: number | null
  readonly limit: number | null
  /** The batch whose items were requested; null for a page of the list. */
  readonly batch: string | null
  /** When it was answered, epoch ms of the simulator's clock. */
  readonly at: number
  /** Null if no status line was sent: the request was dropped or left hanging. */
  readonly status: number | null
  readonly address: string
  readonly fault: FaultKind | null
  /** When the rate limit window of this request ends, epoch ms; null if the limit is off. */
  readonly windowEndsAt: number | null
}

export interface Simulator extends AsyncDisposable {
  /** Base URL, ending in `/api`. */
  readonly url: string
  readonly port: number
  /** The key of the first account. */
  readonly key: string
  /** The first account. */
  readonly account: Account
  /** All accounts, by number. */
  readonly accounts: readonly KeyedAccount[]
  readonly faults: Faults
  /** The last requests, oldest first. */
  readonly requests: readonly LoggedRequest[]
  /** Number of requests since the start. */
  readonly requestCount: number
  /** Uses up budget as other programs at an address would. Default `127.0.0.1`. */
  spend(requests: number, address?: string): void
  /** Stops listening and ends every connection at once, even those that hang. */
  close(): Promise<void>
}

/**
 * Starts a server that simulates Spidra accounts for any HTTP client, as the public documentation describes the API:
 * `GET {url}/batch/scrape?page=&limit=`, and `GET {url}/batch/scrape/{uuid}` for the items of a batch. Rejects if it cannot
 * listen.
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { port = 0, host = '127.0.0.1', key = 'spd_demo', overLimit = 'clamp', now = Date.now, seed = 1 } = options
  const { fixedLimit = null, pastEnd = 'empty', routing = 'key' } = options
  const { accounts: count = 1, latencyMs = 0, rateLimit = {}, beforeAnswer, beforeBatch, requestsKept = 1000 } = options
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
    const asked = readRequest(request, { accountOf: (given) => accountsByKey.get(given), overLimit, fixedLimit })
    const { reply, fault, shown } = await replyTo(asked, budget, { number, address })
    log.add({
      number,
      account: shown?.account ?? ('from' in asked ? asked.from.number : null),
      backend: shown?.backend ?? null,
      page: 'page' in asked ? asked.page : null,
      limit: 'page' in asked ? asked.limit : null,
      batch: 'batch' in asked ? asked.batch : null,
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
    asked: ListAsked | BatchAsked | Answer,
    budget: Budget | null,
    request: { readonly number: number; readonly address: string },
  ): Promise<{
    readonly reply: Answer
    readonly fault: FaultKind | null
    readonly shown: { readonly account: number; readonly backend: number } | null
  }> {
    if (budget?.isExceeded) return { reply: tooManyRequests(budget.resetSeconds), fault: null, shown: null }
    if ('status' in asked) return { reply: asked, fault: null, shown: null }

    const from = routing === 'turns' ? nextInTurn() : asked.from
    const { account, backend } = backends.draw(from, request.number)
    if ('batch' in asked) {
      await beforeBatch?.(asked.batch)
      const text = account.batchText(asked.batch)
      const fault = faults.take({ number: request.number, page: 'batch' })
      const shown = { account: from.number, backend }
      if (text === undefined) return { reply: toRefusal(404, 'Batch not found'), fault: null, shown }
      return {
        reply: fault === null ? toAnswer(200, text) : toFaultyBatch(fault, text, retryAfterSeconds),
        fault,
        shown,
      }
    }
    const { page, limit } = asked
    await beforeAnswer?.({ page, limit, ...request })
    const fault = faults.take({ number: request.number, page })
    if (fault === null && pastEnd === 'not_found' && page > 1 && (page - 1) * limit >= account.total) {
      return { reply: toRefusal(404, 'No such page'), fault, shown: { account: from.number, backend } }
    }
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
      // If a test's beforeAnswer throws, the answer shows it to the test. A connection that close() ended needs none.
      if (closing.signal.aborted || response.headersSent) response.destroy()
      else
        void deliver(response, toRefusal(500, `simulator: ${error}`), {
          headers: {},
          slowBodyMs,
          signal: closing.signal,
        })
    })
  })
  // As behind a load balancer, connections stay open. With Node's default of 5 s, a client may reuse one that is just
  // closing.
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

/** Normalises an address: a socket that listens on both families shows IPv4 clients as `::ffff:127.0.0.1`. */
function toAddress(remote: string | undefined): string {
  return (remote ?? 'unknown').replace(/^::ffff:/, '')
}

interface ListRules {
  readonly accountOf: (key: string) => KeyedAccount | undefined
  /** What happens to a limit over 50: it is reduced to 50, or refused. */
  readonly overLimit: 'clamp' | 'error'
  /** The limit of every page; null: the requested one. */
  readonly fixedLimit: number | null
}

/** A request for a page of one account's list. */
interface ListAsked extends PageAsked {
  readonly from: KeyedAccount
}

/** A request for the items of one batch. */
interface BatchAsked {
  readonly from: KeyedAccount
  /** Lower case. */
  readonly batch: string
}

const BASE_PATH = '/api'
const LIST_PATH = `${BASE_PATH}/batch/scrape`
const DEFAULT_LIMIT = 20
const MAX_LIMIT = 50
const WHOLE_NUMBER = /^\d{1,9}$/

/**
 * Reads which page of which list, or which batch, a request asks for. Otherwise returns the error: 404, 401 (no key), 403
 * (wrong key) or 422.
 */
function readRequest(request: IncomingMessage, rules: ListRules): ListAsked | BatchAsked | Answer {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2)
  const batch = path.startsWith(`${LIST_PATH}/`) ? path.slice(LIST_PATH.length + 1) : null
  if (request.method !== 'GET' || (path !== LIST_PATH && batch === null)) return toRefusal(404, 'Not found')

  const key = readKey(request)
  if (key === null) return toRefusal(401, 'Missing x-api-key header')
  const from = rules.accountOf(key)
  if (from === undefined) return toRefusal(403, 'Invalid, expired or disabled API key')
  if (batch !== null) return { from, batch: batch.toLowerCase() }

  const parameters = new URLSearchParams(query)
  const page = readPositive(parameters.get('page'), 1)
  const limit = readPositive(parameters.get('limit'), DEFAULT_LIMIT)
  if (page === null) return invalid('page must be a whole number from 1')
  if (rules.fixedLimit !== null) return { from, page, limit: rules.fixedLimit }
  if (limit === null || (limit > MAX_LIMIT && rules.overLimit === 'error')) {
    return invalid(`limit must be a whole number from 1 to ${MAX_LIMIT}`)
  }
  return { from, page, limit: Math.min(limit, MAX_LIMIT) }
}

function readKey(request: IncomingMessage): string | null {
  const header = request.headers['x-api-key']
  if (typeof header === 'string') return header
  return /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? null
}

function readPositive(text: string | null, missing: number): number | null {
  if (text === null) return missing
  return WHOLE_NUMBER.test(text) && Number(text) > 0 ? Number(text) : null
}

function invalid(message: string): Answer {
  return toRefusal(422, message, { errors: [message] })
}

/** Keeps the last `kept` requests. */
function createRequestLog(kept: number) {
  let requests: LoggedRequest[] = []
  return {
    get last(): readonly LoggedRequest[] {
      return requests.slice(-kept)
    },
    add(request: LoggedRequest): void {
      // Trimmed only at twice the length, so that adding a request stays cheap however many are kept.
      if (requests.length >= 2 * kept) requests = requests.slice(-kept)
      requests.push(request)
    },
  }
}
