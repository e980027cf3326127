import { setTimeout as sleep } from 'node:timers/promises'
import { LIMIT, rateLimitAt } from '../../test/lifetime/scaled-limit.js'
import { startAccount, type Truth } from '../account.js'
import type { BenchDatabase, BenchServer } from '../postgres.js'
import { startCommand } from '../process-usage.js'
import { type Schedule, startScaledService } from '../scaled-service.js'
import type { Role, Subject, Target } from '../subjects/subject.js'
import { pagesOf } from '../workloads.js'
import type { Ages } from './watch.js'

/** An account under the real limit, in scaled time. Minutes and hours are those of the account, not of the clock. */
export interface FreshnessWorkload {
  readonly name: string
  readonly jobs: number
  /** How much faster the time goes. */
  readonly speed: number
  /** New jobs a minute. */
  readonly arrivals: number
  /** Others use up half of each window. */
  readonly isShared: boolean
  /** How long ages are sampled from the end of the first load on. */
  readonly hours: number
}

/** A subject that keeps a table fresh as well as it can. */
export interface Contender {
  readonly name: string
  readonly subject: Subject
  /** `SYNC_SCHEDULE` of the service, in minutes; null: it is run again as soon as its last run has ended. */
  readonly everyMinutes: number | null
  /** What its documentation says against 429, and is done here; null: nothing is needed. */
  readonly remedy: string | null
}

export interface FreshnessRow {
  readonly workload: FreshnessWorkload
  readonly subject: string
  readonly role: Role
  readonly remedy: string | null
  /** Null: in `hours` the table never held all that had been listed at the start. */
  readonly loadMinutes: number | null
  readonly ages: Ages | null
  /** In the sampled hours, for 24 of them. */
  readonly requestsADay: number | null
  readonly refusedADay: number | null
  /** From the start to the end. */
  readonly runs: number
  readonly failedRuns: number
  /** The output of the first failed run. */
  readonly failure: string | null
  /** Rows that are wrong after no job has changed for a while; at once where all are right. */
  readonly truth: Truth | null
  /** Minutes that the account stood still until every row was right; null: some were wrong to the end. */
  readonly settledMinutes: number | null
}

/** How the runs of a subject end that is used as it is installed. */
export interface InstalledRow {
  readonly workload: FreshnessWorkload
  readonly subject: string
  readonly runs: number
  readonly failedRuns: number
  /** Failed runs whose output names 429. */
  readonly refusedRuns: number
  /** The output of the first failed run. */
  readonly failure: string | null
}

/** What keeps a table fresh. */
interface Runner extends AsyncDisposable {
  runs(): Promise<{ readonly runs: number; readonly failedRuns: number; readonly failure: string | null }>
}

const MINUTE_MS = 60_000
const DAY_HOURS = 24
const POLL_MS = 200
/** The reading of one window takes less. */
const INSTALLED_LEAD_MS = 60_000

let made = 0

type Group = readonly { readonly workload: FreshnessWorkload; readonly contenders: readonly Contender[] }[]

/** Plays groups of workloads, those of a group side by side, after the runs of each alternative as it is installed. */
export async function playFreshness(
  server: BenchServer,
  { groups, installedRuns }: { readonly groups: readonly Group[]; readonly installedRuns: number },
  say: (line: string) => void,
): Promise<{ freshness: FreshnessRow[]; installed: InstalledRow[] }> {
  const seatsOf = (group: Group) =>
    group.flatMap(({ workload, contenders }) => contenders.map((contender) => ({ workload, contender })))
  const others = groups.flatMap(seatsOf).filter(({ contender }) => contender.everyMinutes === null)
  const first = [...new Map(others.toReversed().map((seat) => [seat.contender.name, seat])).values()].toReversed()
  const trying = Promise.all(
    (installedRuns === 0 ? [] : first).map(async ({ workload, contender }) => {
      const row = await tryInstalled(server, workload, contender, installedRuns)
      say(`${workload.name} | ${contender.name} | as installed: ${row.failedRuns} of ${row.runs} runs failed`)
      return row
    }),
  )
  // They take up to a window of real time, and wait for most of it. The groups begin when they wait.
  if (installedRuns > 0) await Promise.race([trying, sleep(INSTALLED_LEAD_MS)])
  const freshness: FreshnessRow[] = []
  for (const group of groups) {
    const rows = seatsOf(group).map(async ({ workload, contender }) => {
      // One that cannot be measured must not cost the others their hour.
      const row = await measureFreshness(server, workload, contender).catch((error: unknown) => ({
        ...unmeasured(workload, contender),
        ...{ runs: 0, failedRuns: 1, failure: String(error) },
      }))
      const { median = null, most = null } = row.ages?.worst ?? {}
      say(`${workload.name} | ${contender.name} | oldest row: median ${median} min, most ${most} min`)
      return row
    })
    freshness.push(...(await Promise.all(rows)))
  }
  // The subjects in the same order for every workload, whatever group they were in: the service first.
  const seats = groups.flatMap(seatsOf).toSorted((one, other) => rankOf(one.contender) - rankOf(other.contender))
  const names = [...new Set(seats.map(({ contender }) => contender.name))]
  const sorted = freshness.toSorted((one, other) => names.indexOf(one.subject) - names.indexOf(other.subject))
  return { freshness: sorted, installed: await trying }
}

function rankOf({ subject }: Contender): number {
  return ['ours', 'peer', 'script'].indexOf(subject.role)
}

/** Lets one contender keep one account's table fresh. */
async function measureFreshness(
  server: BenchServer,
  workload: FreshnessWorkload,
  contender: Contender,
): Promise<FreshnessRow> {
  const { subject, everyMinutes } = contender
  const { speed, hours, arrivals } = workload
  const hoursToMs = (count: number) => (count * 60 * MINUTE_MS) / speed
  await using place = await openPlace(server, workload, subject, true)
  const { account, database, target } = place
  await account.ask('watch', { databaseUrl: database.url, sql: subject.truthSql ?? '', arrivals })
  const startedAt = Date.now()
  await using runner =
    everyMinutes === null
      ? runAgainAndAgain(subject, target)
      : await startService(database, target, { everyMinutes, fullAt: fullPassAt(workload) })

  const isLoaded = await until(hoursToMs(hours), async () => (await account.ask('watched', null)).loadMinutes !== null)
  if (!isLoaded) return { ...unmeasured(workload, contender), ...(await runner.runs()) }
  await account.ask('recount', null)
  await sleep(hoursToMs(hours))
  const ages = await account.ask('endSpan', null)
  const { requests, refused } = await account.ask('counted', null)

  const stoodStillAt = Date.now()
  const isSettled = await until(
    hoursToMs(settleHours(workload)),
    async () => (await account.ask('watched', null)).isSettled,
  )
  const settledMinutes = isSettled ? ((Date.now() - stoodStillAt) * speed) / MINUTE_MS : null
  const truth = await account.ask('compare', { databaseUrl: database.url, sql: subject.truthSql ?? '' })
  const { loadMinutes } = await account.ask('watched', null)
  const days = hours / DAY_HOURS
  const counts = { requestsADay: requests / days, refusedADay: refused / days }
  return {
    ...unmeasured(workload, contender),
    ...{ loadMinutes, ages, ...counts, truth, settledMinutes },
    ...(await runner.runs()),
  }

  /** Early in the sampled hours, after a first load with half of the limit. */
  function fullPassAt({ jobs }: FreshnessWorkload): Date {
    return new Date(startedAt + hoursToMs(readHours(jobs, LIMIT.requests / 2) + hours / 4))
  }
}

/** The figures of a contender that could not be measured. */
export const NEVER = {
  loadMinutes: null,
  ages: null,
  requestsADay: null,
  refusedADay: null,
  truth: null,
  settledMinutes: null,
}

function unmeasured(workload: FreshnessWorkload, { name, subject, remedy }: Contender) {
  return { workload, subject: name, role: subject.role, remedy, ...NEVER }
}

/** Runs a subject as it is installed, a few times side by side, each on an account of its own, in real time. */
async function tryInstalled(
  server: BenchServer,
  workload: FreshnessWorkload,
  { name, subject }: Contender,
  runs: number,
): Promise<InstalledRow> {
  const ended = await Promise.all(
    Array.from({ length: runs }, async () => {
      await using place = await openPlace(server, { ...workload, speed: 1, isShared: false }, subject, false)
      const { account, database, target } = place
      await account.ask('watch', {
        databaseUrl: database.url,
        sql: subject.truthSql ?? '',
        arrivals: workload.arrivals,
      })
      return await startCommand(subject.command(target)).ended
    }),
  )
  const failed = ended.filter(({ code }) => code !== 0)
  const refusedRuns = failed.filter(({ output }) => /\b429\b/.test(output)).length
  return { workload, subject: name, runs, failedRuns: failed.length, refusedRuns, failure: failed[0]?.output ?? null }
}

async function openPlace(server: BenchServer, workload: FreshnessWorkload, subject: Subject, isRemedied: boolean) {
  const { jobs, speed, isShared } = workload
  const account = await startAccount({ jobs, latencyMs: 0, rateLimit: rateLimitAt(speed, 'seconds'), speed, isShared })
  made += 1
  const database = await server.createDatabase(`fresh_${process.pid}_${made}`)
  const api = { apiUrl: account.url, apiKey: account.key }
  const target = { ...api, databaseUrl: database.url, concurrency: 1, isLimited: true, speed, isRemedied }
  await subject.setUp(database, target)
  return {
    account,
    database,
    target,
    async [Symbol.asyncDispose]() {
      await account[Symbol.asyncDispose]()
      await database.drop()
    },
  }
}

/** Runs the subject; the next run begins when the last one has ended, a minute after one that failed. */
function runAgainAndAgain(subject: Subject, target: Target): Runner {
  const stopping = new AbortController()
  let counted = { runs: 0, failedRuns: 0, failure: null as string | null }
  const ending = (async () => {
    while (!stopping.signal.aborted) {
      const run = startCommand(subject.command(target))
      const kill = () => run.kill()
      stopping.signal.addEventListener('abort', kill)
      counted = { ...counted, runs: counted.runs + 1 }
      const { code, output } = await run.ended
      stopping.signal.removeEventListener('abort', kill)
      if (code === 0 || stopping.signal.aborted) continue
      counted = { ...counted, failedRuns: counted.failedRuns + 1, failure: counted.failure ?? output }
      await sleep(MINUTE_MS / target.speed, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  })()
  return {
    runs: async () => counted,
    async [Symbol.asyncDispose]() {
      stopping.abort()
      await ending
    },
  }
}

async function startService(database: BenchDatabase, target: Target, schedule: Schedule): Promise<Runner> {
  let crash: string | null = null
  const seat = await startScaledService(target, schedule, (what) => {
    crash = what
  })
  return {
    async runs() {
      const [row] = await database.sql<{ runs: number; failed: number; failure: string | null }>(
        `SELECT count(*)::integer AS runs, count(*) FILTER (WHERE status = 'failed')::integer AS failed,
           min(error_message) AS failure FROM spidra.sync_runs`,
      )
      const { runs = 0, failed = 0, failure = null } = row ?? {}
      return crash === null
        ? { runs, failedRuns: failed, failure }
        : { runs, failedRuns: failed + 1, failure: [crash, ...seat.log].join('\n') }
    },
    [Symbol.asyncDispose]: () => seat[Symbol.asyncDispose](),
  }
}

/** Hours that reading a list takes with a number of requests in a window. */
function readHours(jobs: number, requestsAWindow: number): number {
  return (Math.ceil(pagesOf(jobs) / requestsAWindow) * LIMIT.windowSeconds) / 3600
}

/** Hours in which any subject can read the whole list twice. */
function settleHours({ jobs, isShared }: FreshnessWorkload): number {
  return 1 + 2 * readHours(jobs, isShared ? LIMIT.requests / 2 : LIMIT.requests)
}

async function until(ms: number, isTrue: () => Promise<boolean>): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(POLL_MS)) if (await isTrue()) return true
  return isTrue()
}
