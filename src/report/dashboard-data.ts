import { escapeLiteral } from 'pg'
import { z } from 'zod'
import type { Config } from '../config/config.js'
import { type Database, readDatabaseTime } from '../db/client.js'
import {
  CHOICES,
  JOBS_ON_PAGE,
  jobsQuery,
  OVERVIEW,
  type Parameter,
  QUERIES,
  type Query,
  RESULT_QUERIES,
} from './dashboard-queries.js'
import { type FleetReport, readFleet } from './fleet.js'
import { type LoadProgress, readLoadProgress, toLoadProgress } from './load-progress.js'
import type { ShownQuery } from './page-parts.js'
import { type ResultsProgress, readResultsProgress } from './results.js'

/** The jobs that the dashboard shows. */
export interface Filters {
  readonly account: string
  /** Null: all channels. */
  readonly channel: string | null
  /** Number of UTC days, today included. */
  readonly days: number
}

type Row<Name extends keyof typeof QUERIES> = z.infer<(typeof QUERIES)[Name]['row']>

/** What is shown of the results of batches. */
export interface ResultsData {
  readonly progress: ResultsProgress
  /** Of all channels and 30 days, most URLs first. */
  readonly failingHosts: readonly z.infer<(typeof RESULT_QUERIES)['failing_hosts']['row']>[]
  /** Oldest first, without days of which no items have been read. */
  readonly credits: readonly z.infer<(typeof RESULT_QUERIES)['credits']['row']>[]
}

/** All numbers of the dashboard, read in one snapshot. */
export interface DashboardData {
  readonly filters: Filters
  /** Whether the account of the filters is in the database. */
  readonly isStored: boolean
  readonly accounts: readonly string[]
  readonly channels: readonly string[]
  readonly freshness: Row<'freshness'>
  readonly stock: Row<'stock'>
  readonly budget: Row<'budget'> | null
  /** Of a first load or a full pass that is unfinished; null: none is, or it was not asked for. */
  readonly progress: LoadProgress | null
  /** Firing alerts, oldest first. */
  readonly alerts: readonly Row<'alerts'>[]
  /** Oldest first, days without jobs included. */
  readonly days: readonly (Row<'days'> & { readonly day: string })[]
  readonly total: Row<'days'> | null
  readonly durations: readonly Row<'durations'>[]
  readonly totalDuration: Row<'durations'> | null
  /** Durations come from the jobs created in one minute of this number of minutes; 1: from all jobs. */
  readonly minutes: number
  /** Newest first. */
  readonly runs: readonly Row<'runs'>[]
  readonly open: readonly Row<'open'>[]
  readonly stuck: readonly Row<'stuck'>[]
  readonly changes: readonly Row<'changes'>[]
  readonly rejections: readonly Row<'rejections'>[]
  /** Absent where `SYNC_RESULTS` is off. */
  readonly results?: ResultsData
  /** The queries by their names in `QUERIES`, ready for psql. */
  readonly sql: readonly ShownQuery[]
}

type OverviewRow = z.infer<typeof OVERVIEW.row>

/** All accounts that the database has, and the fleet that runs them. */
export interface OverviewData {
  readonly readAt: Date
  /** By name. */
  readonly accounts: readonly (OverviewRow & { readonly progress: LoadProgress | null })[]
  /** Null if no fleet has ever used this database. */
  readonly fleet: FleetReport | null
  readonly sql: readonly ShownQuery[]
}

/** What the page of single jobs is asked for. */
export interface JobSearch {
  readonly account: string
  /** A uuid or its beginning, as typed; empty: any. */
  readonly uuid: string
  /** Null: any. */
  readonly status: string | null
  /** The job that the page begins after, towards older (`before`) or newer ones; null: the page of the newest jobs. */
  readonly position: { readonly uuid: string; readonly direction: 'before' | 'after' } | null
}

/** One page of the jobs that were searched. */
export interface JobsData {
  readonly search: JobSearch
  readonly readAt: Date
  /** Whether the text of the search can be the beginning of a uuid. */
  readonly isUuid: boolean
  readonly accounts: readonly string[]
  /** Newest first. */
  readonly jobs: readonly z.infer<ReturnType<typeof jobsQuery>['row']>[]
  readonly hasOlder: boolean
  readonly hasNewer: boolean
  readonly sql: readonly ShownQuery[]
}

/** Reads the data of the pages. */
export interface DashboardReads {
  readonly account: (filters: Filters) => Promise<DashboardData>
  readonly overview: () => Promise<OverviewData>
  readonly jobs: (search: JobSearch) => Promise<JobsData>
}

/**
 * Creates the reads of the pages over a database.
 *
 * @param rateLimit the configured limit, by which progress is estimated where the API reports none
 */
export function createDashboardReads(db: Database, rateLimit: Config['rateLimit']): DashboardReads {
  return {
    account: (filters) => readDashboard(db, filters, { rateLimit }),
    overview: () => readOverview(db, rateLimit),
    jobs: (search) => readJobs(db, search),
  }
}

/** More durations than this are sampled, because sorting them takes too long while a reader waits. */
const MAX_DURATIONS = 50_000

/** Readers do not wait for longer, in milliseconds. */
const TIMEOUT_MS = 15_000

/**
 * Reads the dashboard in one read-only snapshot, so that its numbers agree with each other, and with one connection, so
 * that runs, heartbeats and probes can use the others.
 *
 * @param options `isExact`: reads the durations of all jobs, with 20 times the timeout; `timeoutMs`: for the whole and for
 *   each statement, default 15,000; `rateLimit`: the configured one, without which the progress of a load is not read
 */
export async function readDashboard(
  db: Database,
  filters: Filters,
  { isExact = false, timeoutMs = TIMEOUT_MS, rateLimit }: ReadOptions = {},
): Promise<DashboardData> {
  const values = { ...filters, ...WHOLE }
  const data = await inSnapshot(db, values, isExact ? 20 * timeoutMs : timeoutMs, async (run) => {
    const [freshness] = await run(QUERIES.freshness)
    const [stock] = await run(QUERIES.stock)
    if (freshness === undefined || stock === undefined) throw new Error('A query of one row returned none')
    const hasResults = freshness.results_due !== null
    const days = await run(QUERIES.days)
    const total = days.find(({ day }) => day === null) ?? null
    if (!isExact) Object.assign(values, sliceFor(total?.jobs ?? 0))
    const durations = await run(QUERIES.durations)
    const [budget = null] = await run(QUERIES.budget)
    return {
      filters,
      // Null only if the account has no row.
      isStored: freshness.open_rejections !== null,
      accounts: namesOf(await run(CHOICES.accounts), filters.account),
      channels: namesOf(await run(CHOICES.channels), filters.channel),
      freshness,
      stock,
      budget,
      alerts: await run(QUERIES.alerts),
      days: days.flatMap(({ day, ...rest }) => (day === null ? [] : [{ ...rest, day }])),
      total,
      durations: durations.filter(({ day }) => day !== null),
      totalDuration: durations.find(({ day }) => day === null) ?? null,
      minutes: values.step / values.slice,
      runs: await run(QUERIES.runs),
      open: await run(QUERIES.open),
      stuck: await run(QUERIES.stuck),
      changes: await run(QUERIES.changes),
      rejections: await run(QUERIES.rejections),
      ofResults: hasResults
        ? { failingHosts: await run(RESULT_QUERIES.failing_hosts), credits: await run(RESULT_QUERIES.credits) }
        : null,
      sql: Object.entries({ ...QUERIES, ...(hasResults ? RESULT_QUERIES : {}) }).map(([name, query]) =>
        toShown(name, query, values),
      ),
    }
  })
  const { ofResults, ...shown } = data
  const options = { account: filters.account, now: data.freshness.read_at }
  const progress = rateLimit === undefined ? null : await readLoadProgress(db, { ...options, rateLimit })
  const ofReading = ofResults && (await readResultsProgress(db, { ...options, rateLimit: rateLimit ?? null }))
  const results = ofResults && ofReading && { ...ofResults, progress: ofReading }
  return { ...shown, progress, ...(results === null ? {} : { results }) }
}

/** Reads all accounts in one statement, and the fleet. */
async function readOverview(db: Database, rateLimit: Config['rateLimit']): Promise<OverviewData> {
  const rows = await inSnapshot(db, {}, TIMEOUT_MS, (run) => run(OVERVIEW))
  const readAt = rows[0]?.read_at ?? (await readDatabaseTime(db))
  const hostOf = ({ worker }: OverviewRow) => worker?.replace(/:[^:]*$/, '')
  const loads = rows.filter((row) => row.complete_as_of === null && row.status !== null)
  const accounts = rows.map((row) => {
    const sharers = loads.filter((load) => hostOf(load) === hostOf(row)).length
    return { ...row, progress: toFirstLoad(row, sharers, rateLimit) }
  })
  return { readAt, accounts, fleet: await readFleet(db), sql: [toShown('accounts', OVERVIEW, {})] }
}

/** Reads one page of jobs. */
async function readJobs(db: Database, search: JobSearch): Promise<JobsData> {
  const { account, status, position } = search
  const digits = search.uuid.toLowerCase().replace(/[\s-]/g, '')
  const isUuid = /^[0-9a-f]{0,32}$/.test(digits)
  const values = {
    ...{ account, status, position: position?.uuid ?? null },
    ...{ uuidFrom: toUuid(digits.padEnd(32, '0')), uuidTo: toUuid(digits.padEnd(32, 'f')) },
  }
  const direction = position?.direction ?? null
  const query = jobsQuery({ hasUuid: isUuid && digits !== '', hasStatus: status !== null, direction })
  const { found, accounts } = await inSnapshot(db, values, TIMEOUT_MS, async (run) => ({
    found: isUuid ? await run(query) : [],
    accounts: namesOf(await run(CHOICES.accounts), account),
  }))
  const hasMore = found.length > JOBS_ON_PAGE
  const page = found.slice(0, JOBS_ON_PAGE)
  return {
    ...{ search, isUuid, accounts },
    readAt: found[0]?.read_at ?? (await readDatabaseTime(db)),
    jobs: direction === 'after' ? page.reverse() : page,
    hasOlder: direction === 'after' || hasMore,
    hasNewer: direction === 'before' || (direction === 'after' && hasMore),
    sql: [toShown('jobs', query, values)],
  }
}

function toUuid(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/**
 * The progress of a first load. Other than on the page of the account, the last run counts as alive, no job as open, and only
 * first loads as sharers of the budget.
 */
function toFirstLoad(row: OverviewRow, sharers: number, rateLimit: Config['rateLimit']): LoadProgress | null {
  const { complete_as_of: lastCompleteAt, started_at: startedAt, status, read_at: now } = row
  if (lastCompleteAt !== null || startedAt === null || status === null) return null
  const state = {
    ...{ isWhole: false, lastCompleteAt, fullStartedAt: row.jobs > 0 ? startedAt : null, passTotal: row.listed_jobs },
    ...{ rateLimit: row.rate_limit, rateRemaining: row.rate_remaining, rateResetAt: row.rate_reset_at },
    nextRunAt: row.next_run_at,
  }
  const run = {
    ...{ status, errorCode: row.reason, startedAt, finishedAt: row.finished_at, heartbeatAt: now },
    ...{ requests: row.requests ?? 0, waitedMs: 1000 * (row.waited_seconds ?? 0), waitsUntil: row.waits_until },
    ...{ latestTotal: row.latest_total, listedTotal: row.listed_jobs },
  }
  const storedJobs = row.jobs + (row.open_rejections ?? 0)
  const facts = { state, runs: [run], storedJobs, passedJobs: storedJobs, openPages: 0, sharers }
  return toLoadProgress(facts, { now, rateLimit })
}

interface ReadOptions {
  readonly isExact?: boolean
  readonly timeoutMs?: number
  readonly rateLimit?: Config['rateLimit']
}

type Values = Readonly<Partial<Record<Parameter, string | number | null>>>

type Run = <Type extends z.ZodType>(query: Query<Type>) => Promise<z.infer<Type>[]>

/** Runs queries in one read-only snapshot. `timeout` is for the whole and for each statement, in milliseconds. */
async function inSnapshot<Result>(
  db: Database,
  values: Values,
  timeout: number,
  work: (run: Run) => Promise<Result>,
): Promise<Result> {
  return db.$transaction(
    async (tx) => {
      await tx.$executeRawUnsafe('SET TRANSACTION READ ONLY')
      // JIT compilation takes longer than these queries.
      await tx.$executeRawUnsafe(`SET LOCAL jit = off; SET LOCAL statement_timeout = ${timeout}`)
      return work(async ({ sql, parameters, row }) =>
        z.array(row).parse(await tx.$queryRawUnsafe(sql, ...parameters.map((name) => values[name] ?? null))),
      )
    },
    { isolationLevel: 'RepeatableRead', maxWait: TIMEOUT_MS, timeout },
  )
}

function toShown(name: string, query: Query, values: Values): ShownQuery {
  return { name, title: query.title, text: toRunnable(query, values) }
}

/** Reads all minutes of a day: no sampling. */
const WHOLE = { step: 1440, slice: 1440 }

/** Reads one minute of every `step`. No step divides an hour, or jobs created at full hours would count always or never. */
function sliceFor(jobs: number): typeof WHOLE {
  if (jobs <= MAX_DURATIONS) return WHOLE
  return { step: [7, 13, 31, 61, 127, 251].find((step) => jobs / step <= MAX_DURATIONS) ?? 509, slice: 1 }
}

/** The names for a filter, the chosen one included, so that the form shows what the page shows. */
function namesOf(rows: readonly { readonly name: string }[], used: string | null): string[] {
  return [...new Set([...rows.map(({ name }) => name), ...(used === null ? [] : [used])])].sort()
}

/** The text of a query, with the values in place of its parameters. */
function toRunnable({ sql, parameters }: Query, values: Values): string {
  return `${sql.replace(/\$(\d)/g, (_, position) => {
    const name = parameters[Number(position) - 1]
    const value = name === undefined ? null : (values[name] ?? null)
    return value === null ? 'NULL' : typeof value === 'number' ? String(value) : escapeLiteral(value)
  })};`
}
