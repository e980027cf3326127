import { pino } from 'pino'
import { expect } from 'vitest'
import { SYNC_SIZES, TIMING, type Timing } from '../../src/config/scale.js'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { keepDailyTotals } from '../../src/db/daily-totals.js'
import { finishRun, startRun } from '../../src/db/sync-runs.js'
import type { SharedBudget } from '../../src/service/account-run.js'
import type { Simulator } from '../../src/simulator/server.js'
import { createSpidraClient } from '../../src/spidra/client.js'
import { parseItem } from '../../src/spidra/wire.js'
import { type RecordedRun, type RecordedRunOptions, recordRun } from '../../src/sync/recorded-run.js'
import { RUN_END } from './job-rows.js'
import { leaksIn, secretsIn } from './leaks.js'
import type { TestDatabase } from './test-database.js'

export interface RunOptions
  extends Partial<
    Pick<
      RecordedRunOptions,
      | 'mode'
      | 'pagesPerRun'
      | 'sizes'
      | 'mayGo'
      | 'windowRest'
      | 'acceptRemovals'
      | 'mustHandOn'
      | 'signal'
      | 'account'
      | 'onPage'
      | 'databaseUrl'
    >
  > {
  /** Durations that differ from the defaults. */
  readonly timing?: Partial<Timing>
  /** Default: no limit. */
  readonly sharedBudget?: SharedBudget
  /** Hears of every wait for the budget. */
  readonly onWait?: () => void
}

/** What a run came to, as the simulator and the log saw it. */
export interface ObservedRun {
  readonly summary: RecordedRun['summary']
  readonly error: Error | null
  /** Counted by the simulator. */
  readonly requests: number
  /** Pages asked for, in order; of the last 1,000 requests. */
  readonly pages: readonly (number | null)[]
  /** Messages of level `warn` and above. */
  readonly warnings: readonly string[]
}

/** One recorded run against a simulator: incremental, one request at a time, unless told otherwise. */
export async function runAgainst(
  simulator: Simulator,
  { db, url }: Pick<TestDatabase, 'db' | 'url'>,
  { sharedBudget, onWait, timing, ...options }: RunOptions = {},
): Promise<ObservedRun> {
  const before = simulator.requestCount
  const lines: { readonly level: number; readonly msg: string }[] = []
  const note = (line: string): void => {
    // No redaction here: what a run logs holds no secret by itself.
    expect(leaksIn(line, secretsIn({ DATABASE_URL: url, SPIDRA_API_KEY: simulator.key }))).toEqual([])
    lines.push(JSON.parse(line))
  }
  let stopListening: (() => void) | undefined
  const { summary, error } = await recordRun({
    db,
    databaseUrl: url,
    account: 'default',
    // The same for whatever simulator: what a run does with another account's list is its own business.
    source: { apiUrl: 'https://list.test', keyOrigin: 'SPIDRA_API_KEY', fingerprint: options.account ?? 'default' },
    mode: 'incremental',
    trigger: 'manual',
    worker: 'test:1',
    pagesPerRun: 20,
    timing: { ...TIMING, ...timing },
    sizes: SYNC_SIZES,
    mayGo: sharedBudget?.budget.mayGo ?? (() => true),
    signal: new AbortController().signal,
    log: pino({ level: 'warn' }, { write: note }),
    ...options,
    createClient(counters) {
      stopListening = sharedBudget?.listen(({ waitMs }) => {
        counters.waitedMs += waitMs
        onWait?.()
      })
      return createSpidraClient({
        apiUrl: simulator.url,
        apiKey: simulator.key,
        authScheme: 'x-api-key',
        requestTimeoutMs: 30_000,
        requestRetries: 5,
        retryBaseMs: 10,
        timing: TIMING,
        ...(sharedBudget ? { budget: sharedBudget.budget } : {}),
        onRequest({ attempt }) {
          counters.requests += 1
          if (attempt > 1) counters.retries += 1
        },
      })
    },
  }).finally(() => stopListening?.())
  const requests = simulator.requestCount - before
  const pages = simulator.requests.filter(({ number }) => number > before).map(({ page }) => page)
  return { summary, error, requests, pages, warnings: lines.map(({ msg }) => msg) }
}

/**
 * Fills the table with what the simulator lists, as a complete run would leave it, and no slice of the sweep due: a
 * hundred thousand jobs in seconds, because no page travels.
 */
export async function loadTable(
  simulator: Simulator,
  { db, sql }: Pick<TestDatabase, 'db' | 'sql'>,
  account = 'default',
): Promise<void> {
  const run = await startRun(db, { account, mode: 'full', trigger: 'manual', worker: 'test:1' })
  const limit = 5_000
  const { total } = simulator.account
  for (let page = 1; (page - 1) * limit < total; page += 1) {
    const jobs = simulator.account.list({ page, limit }).jobs.map(parseItem)
    await mergeJobs(
      db,
      run,
      jobs.flatMap((parsed) => ('job' in parsed ? parsed.job : [])),
    )
  }
  await keepDailyTotals(db, account)
  await finishRun(db, run, RUN_END)
  await sql(
    `INSERT INTO spidra.sync_state (account, is_whole, last_complete_at, reread_since, last_sweep_at, source_fingerprint)
     VALUES ($1, true, now(), now(), now(), $1)`,
    [account],
  )
}

/** Puts the last slice of the sweep into this moment, so that none is due. */
export async function noteSweep({ sql }: TestDatabase): Promise<void> {
  await sql('UPDATE spidra.sync_state SET last_sweep_at = now()')
}

/** Makes the next slice of the sweep due. */
export async function makeSweepDue({ sql }: TestDatabase): Promise<void> {
  await sql("UPDATE spidra.sync_state SET last_sweep_at = now() - interval '1 hour'")
}

/** Uuids of the live jobs in the table. */
export async function storedUuids({ sql }: TestDatabase): Promise<Set<string>> {
  const rows = await sql<{ uuid: string }>('SELECT uuid::text AS uuid FROM spidra.batch_jobs WHERE removed_at IS NULL')
  return new Set(rows.map(({ uuid }) => uuid))
}
