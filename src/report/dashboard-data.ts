import { escapeLiteral } from 'pg'
import { z } from 'zod'
import type { Database } from '../db/client.js'
import { CHOICES, QUESTIONS } from './dashboard-queries.js'
import type { Parameter, Question } from './question.js'

/** What the page shows of which jobs. */
export interface Filters {
  readonly account: string
  /** Null: all of them. */
  readonly channel: string | null
  /** UTC days, today included. */
  readonly days: number
}

type Row<Name extends keyof typeof QUESTIONS> = z.infer<(typeof QUESTIONS)[Name]['row']>

/** All that the page shows, as of one moment. */
export interface DashboardData {
  readonly filters: Filters
  /** Whether the database knows the account of the filters. */
  readonly isStored: boolean
  readonly accounts: readonly string[]
  readonly channels: readonly string[]
  readonly freshness: Row<'freshness'>
  readonly budget: Row<'budget'> | null
  /** Oldest first, days without jobs included. */
  readonly days: readonly (Row<'days'> & { readonly day: string })[]
  readonly total: Row<'days'> | null
  readonly durations: readonly Row<'durations'>[]
  readonly totalDuration: Row<'durations'> | null
  /** Durations are those of the jobs created in one minute of so many; 1: of all jobs. */
  readonly minutes: number
  /** Newest first. */
  readonly runs: readonly Row<'runs'>[]
  readonly open: readonly Row<'open'>[]
  readonly stuck: readonly Row<'stuck'>[]
  readonly changes: readonly Row<'changes'>[]
  readonly rejections: readonly Row<'rejections'>[]
  /** By the names of `QUESTIONS`: what was asked, ready for psql. */
  readonly sql: readonly { readonly name: string; readonly title: string; readonly text: string }[]
}

/** So many durations are sorted while a reader waits. */
const MAX_DURATIONS = 50_000

/** Whoever has waited for longer has gone, in milliseconds. */
const TIMEOUT_MS = 15_000

/**
 * Reads the dashboard in one read-only snapshot, so that its numbers agree with each other, and with one connection, so
 * that runs, heartbeats and probes keep the others.
 *
 * @param isExact durations of all jobs, and 20 times as long for them.
 * @param timeoutMs of the whole, and of each of its statements. Default 15,000.
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
      // Compiling takes longer than these queries do.
      await tx.$executeRawUnsafe(`SET LOCAL jit = off; SET LOCAL statement_timeout = ${timeout}`)
      const values = { ...filters, ...WHOLE }
      const ask = <Type extends z.ZodType>({ sql, parameters, row }: Question<Type>) =>
        tx.$queryRawUnsafe(sql, ...parameters.map((name) => values[name])).then((rows) => z.array(row).parse(rows))

      const [freshness] = await ask(QUESTIONS.freshness)
      if (freshness === undefined) throw new Error('The question for freshness has one row by its form')
      const days = await ask(QUESTIONS.days)
      const total = days.find(({ day }) => day === null) ?? null
      if (!isExact) Object.assign(values, sliceFor(total?.jobs ?? 0))
      const durations = await ask(QUESTIONS.durations)
      const [budget = null] = await ask(QUESTIONS.budget)
      return {
        filters,
        // A count is never null where there is a row.
        isStored: freshness.open_rejections !== null,
        accounts: namesOf(await ask(CHOICES.accounts), filters.account),
        channels: namesOf(await ask(CHOICES.channels), filters.channel),
        freshness,
        budget,
        days: days.flatMap(({ day, ...rest }) => (day === null ? [] : [{ ...rest, day }])),
        total,
        durations: durations.filter(({ day }) => day !== null),
        totalDuration: durations.find(({ day }) => day === null) ?? null,
        minutes: values.step / values.slice,
        runs: await ask(QUESTIONS.runs),
        open: await ask(QUESTIONS.open),
        stuck: await ask(QUESTIONS.stuck),
        changes: await ask(QUESTIONS.changes),
        rejections: await ask(QUESTIONS.rejections),
        sql: Object.entries(QUESTIONS).map(([name, question]) => ({
          name,
          title: question.title,
          text: toRunnable(question, values),
        })),
      }
    },
    { isolationLevel: 'RepeatableRead', maxWait: TIMEOUT_MS, timeout },
  )
}

/** Slices that leave nothing out, in minutes. */
const WHOLE = { step: 1440, slice: 1440 }

/** One minute of so many. None divides an hour: else what starts at full hours would be met always or never. */
function sliceFor(jobs: number): typeof WHOLE {
  if (jobs <= MAX_DURATIONS) return WHOLE
  return { step: [7, 13, 31, 61, 127, 251].find((step) => jobs / step <= MAX_DURATIONS) ?? 509, slice: 1 }
}

/** The one in use is offered too, so that the form shows what the page does. */
function namesOf(rows: readonly { readonly name: string }[], used: string | null): string[] {
  return [...new Set([...rows.map(({ name }) => name), ...(used === null ? [] : [used])])].sort()
}

/** The very text, with the values in their places. */
function toRunnable(
  { sql, parameters }: Question,
  values: Readonly<Record<Parameter, string | number | null>>,
): string {
  return `${sql.replace(/\$(\d)/g, (_, position) => {
    const name = parameters[Number(position) - 1]
    const value = name === undefined ? null : values[name]
    return value === null ? 'NULL' : typeof value === 'number' ? String(value) : escapeLiteral(value)
  })};`
}
