import { escapeLiteral } from 'pg'
import { z } from 'zod'
import type { Database } from '../db/client.js'
import { CHOICES, type Parameter, QUERIES, type Query } from './dashboard-queries.js'

/** The jobs that the dashboard shows. */
export interface Filters {
  readonly account: string
  /** Null: all channels. */
  readonly channel: string | null
  /** Number of UTC days, today included. */
  readonly days: number
}

type Row<Name extends keyof typeof QUERIES> = z.infer<(typeof QUERIES)[Name]['row']>

/** All numbers of the dashboard, read in one snapshot. */
export interface DashboardData {
  readonly filters: Filters
  /** Whether the account of the filters is in the database. */
  readonly isStored: boolean
  readonly accounts: readonly string[]
  readonly channels: readonly string[]
  readonly freshness: Row<'freshness'>
  readonly budget: Row<'budget'> | null
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
  /** The queries by their names in `QUERIES`, ready for psql. */
  readonly sql: readonly { readonly name: string; readonly title: string; readonly text: string }[]
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
 *   each statement, default 15,000
 */
export async function readDashboard(
  db: Database,
  filters: Filters,
  { isExact = false, timeoutMs = TIMEOUT_MS }: { readonly isExact?: boolean; readonly timeoutMs?: number } = {},
): Promise<DashboardData> {
  const timeout = isExact ? 20 * timeoutMs : timeoutMs
  return db.$transaction(
    async (tx) => {
      await tx.$executeRawUnsafe('SET TRANSACTION READ ONLY')
      // JIT compilation takes longer than these queries.
      await tx.$executeRawUnsafe(`SET LOCAL jit = off; SET LOCAL statement_timeout = ${timeout}`)
      const values = { ...filters, ...WHOLE }
      const run = <Type extends z.ZodType>({ sql, parameters, row }: Query<Type>) =>
        tx.$queryRawUnsafe(sql, ...parameters.map((name) => values[name])).then((rows) => z.array(row).parse(rows))

      const [freshness] = await run(QUERIES.freshness)
      if (freshness === undefined) throw new Error('The query for freshness returned no row')
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
        sql: Object.entries(QUERIES).map(([name, query]) => ({
          name,
          title: query.title,
          text: toRunnable(query, values),
        })),
      }
    },
    { isolationLevel: 'RepeatableRead', maxWait: TIMEOUT_MS, timeout },
  )
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
function toRunnable({ sql, parameters }: Query, values: Readonly<Record<Parameter, string | number | null>>): string {
  return `${sql.replace(/\$(\d)/g, (_, position) => {
    const name = parameters[Number(position) - 1]
    const value = name === undefined ? null : values[name]
    return value === null ? 'NULL' : typeof value === 'number' ? String(value) : escapeLiteral(value)
  })};`
}
