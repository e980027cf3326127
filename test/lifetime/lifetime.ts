import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { TIMING } from '../../src/config/scale.js'
import { startSimulator } from '../../src/simulator/server.js'
import { createDice, type Dice } from '../soak/dice.js'
import { startOwnPostgres } from '../support/own-postgres.js'
import { type Day, tableRow } from './day.js'
import { createJudge } from './judge.js'
import { LIMIT, rateLimitAt, spending, windowMsAt } from './scaled-limit.js'
import { everySeconds, onceADay, type ServiceSeat, startServiceSeat } from './service.js'
import { createTruth, type Truth } from './truth.js'

export interface LifetimeOptions {
  /** In the first column of the table. */
  readonly name: string
  readonly days: number
  readonly jobs: number
  /** New jobs a scaled minute. */
  readonly arrivals: number
  /** Jobs that leave the list a scaled minute, from anywhere in it. */
  readonly removals: number
  readonly seed: number
  /** SIGTERM and kill -9, at random. */
  readonly restarts: boolean
  /** Share of the requests that fail. */
  readonly faults: number
  /** Others at the same address use up half of each window. */
  readonly others: boolean
  /** `SYNC_RESULTS` of the service. */
  readonly results: string
  /** Real minutes of a day: a divisor of 60, at least 5. */
  readonly dayMinutes: number
  /** Jobs a page: with fewer, an account has as many pages as a larger one. */
  readonly pageLimit: number
  /** What the measuring may add to an age, in real milliseconds. */
  readonly toleranceMs: number
  /** Ends it early. */
  readonly signal: AbortSignal
  /** Hears of the table and the violations, a line at a time. */
  readonly say: (line: string) => void
}

export interface LifetimeResult {
  readonly days: readonly Day[]
  readonly violations: readonly string[]
}

/** The default of `RATE_LIMIT_RESERVE`. */
const RESERVE = 0.5
const MINUTES_OF_A_DAY = 1_440
/** Of the default `SYNC_SCHEDULE`. */
const INTERVAL_SECONDS = 300
const RETRY_AFTER_SECONDS = 60
/** Answers that are no answer; none takes time of its own but the 503, which asks for some. */
const FAULTS = ['http500', 'http502', 'http503', 'dropped', 'cutBody', 'notJson'] as const
const API_KEY = 'spd_lifetime'

/** Real milliseconds between two rounds of the judge. */
const ROUND_MS = 40
/** Violations that are printed; the others are counted. */
const VIOLATIONS_SAID = 30

/** Runs the real service against a simulated account in scaled time, and holds it to its claims. */
export async function runLifetime(options: LifetimeOptions): Promise<LifetimeResult> {
  const { days, dayMinutes, seed, say } = options
  const speed = MINUTES_OF_A_DAY / dayMinutes
  const windowMs = windowMsAt(speed)
  const intervalSeconds = Math.round(INTERVAL_SECONDS / speed)
  const epoch = Date.now()
  const violations: string[] = []
  const ended: Day[] = []
  const over = new AbortController()
  options.signal.addEventListener('abort', () => over.abort())
  const alerts: Message[] = []

  await using postgres = await startOwnPostgres()
  await using simulator = await startSimulator({
    ...{ jobs: options.jobs, seed, epoch, speed, key: API_KEY, requestsKept: 5_000 },
    arrivalsPerMinute: options.arrivals * speed,
    // A 429 says no more than when the window ends.
    rateLimit: rateLimitAt(speed, 'none'),
    faults: {
      rates: Object.fromEntries(FAULTS.map((kind) => [kind, options.faults / FAULTS.length])),
      retryAfterSeconds: RETRY_AFTER_SECONDS / speed,
    },
  })
  const truth = createTruth(simulator.account, createDice(seed + 1), speed)
  await using webhook = await startWebhook((message) => void alerts.push(message))
  await using seat = await startServiceSeat(
    {
      ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: simulator.url, DATABASE_URL: postgres.url },
      ...{ ALERT_WEBHOOK_URL: webhook.url, HTTP_PORT: '0', LOG_FORMAT: 'json' },
      SYNC_SCHEDULE: everySeconds(intervalSeconds),
      FULL_SYNC_SCHEDULE: onceADay(epoch + (dayMinutes * 60_000) / 2, dayMinutes),
      SYNC_RESULTS: options.results,
      ...{ LIFETIME_SPEED: String(speed), LIFETIME_PAGE_LIMIT: String(options.pageLimit) },
    },
    (what, log) => {
      onViolation(what, log)
      over.abort()
    },
  )
  const judge = createJudge(
    {
      ...{ speed, epoch, windowMs, intervalMs: intervalSeconds * 1000, toleranceMs: options.toleranceMs },
      ...{ share: LIMIT.requests * (1 - RESERVE), hasFaults: options.faults > 0 },
      retryAfterMs: (RETRY_AFTER_SECONDS * 1000) / speed,
      freshMs: TIMING.freshMs / speed,
    },
    { postgres, simulator, seat, truth, onViolation },
  )

  /** @param log of the service, which may have ended before it was ready. */
  function onViolation(what: string, log?: readonly string[]): void {
    violations.push(what)
    const minute = Math.round(((Date.now() - epoch) * speed) / 60_000)
    const at = `day ${1 + Math.floor(minute / MINUTES_OF_A_DAY)}, minute ${minute % MINUTES_OF_A_DAY}`
    if (violations.length <= VIOLATIONS_SAID) say(`VIOLATED at ${at}: ${what}`)
    if (violations.length === 1) say((log ?? seat.log).map((line) => `  log: ${line}`).join('\n'))
  }

  const endsAt = Date.now() + days * dayMinutes * 60_000
  const rounds = [
    every(ROUND_MS, judge.judgeRequests),
    every(ROUND_MS, async () => {
      await judge.judgeFreshness()
      await judge.judgeRuns()
      for (const message of alerts.splice(0)) judge.judgeAlert(message)
    }),
    every(ROUND_MS, judge.judgeSet),
    every(5 * ROUND_MS, judge.judgeReadiness),
  ]
  using _removals = removing(truth, options.removals * speed)
  using _others = options.others ? spending(simulator, speed) : null
  if (options.restarts) rounds.push(restarting(seat, createDice(seed + 2)))
  for (let number = 1; number <= days && !over.signal.aborted; number += 1) {
    const dayEndsAt = endsAt - (days - number) * dayMinutes * 60_000
    await sleep(dayEndsAt - Date.now(), undefined, { signal: over.signal }).catch(() => undefined)
    const day = await judge.endDay()
    ended.push(day)
    say(tableRow(`${options.name}; ${number}`, day))
  }
  over.abort()
  await Promise.all(rounds)
  if (violations.length > VIOLATIONS_SAID) say(`${violations.length - VIOLATIONS_SAID} more violations`)
  return { days: ended, violations }

  /** Repeats the work until the end; where it throws, the lifetime fails. */
  async function every(ms: number, work: () => Promise<void>): Promise<void> {
    while (!over.signal.aborted) {
      await work().catch((error: unknown) => onViolation(`the lifetime itself failed: ${error}`))
      await sleep(ms, undefined, { signal: over.signal }).catch(() => undefined)
    }
  }

  async function restarting(seat: ServiceSeat, dice: Dice): Promise<void> {
    while (!over.signal.aborted) {
      // Often soon, so that some fall into the first load.
      await sleep(2_000 + dice.share() ** 2 * 60_000, undefined, { signal: over.signal }).catch(() => undefined)
      if (!over.signal.aborted) await seat.restart(dice.share() < 0.5 ? 'SIGTERM' : 'SIGKILL')
    }
  }
}

function removing(truth: Truth, perMinute: number): Disposable {
  const startedAt = Date.now()
  let removed = 0
  const timer = setInterval(() => {
    for (; removed < ((Date.now() - startedAt) * perMinute) / 60_000; removed += 1) truth.removeOne()
  }, ROUND_MS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

type Message = Parameters<ReturnType<typeof createJudge>['judgeAlert']>[0]

/** Takes alerts as a chat's webhook does. */
async function startWebhook(
  onMessage: (message: Message) => void,
): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      onMessage(JSON.parse(Buffer.concat(chunks).toString()))
      response.end('ok')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
