import { pino } from 'pino'
import { expect } from 'vitest'
import { SYNC_SIZES, TIMING, type Timing } from '../../src/config/scale.js'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { refreshDailyTotals } from '../../src/db/housekeeping.js'
import { finishRun } from '../../src/db/sync-runs.js'
import { type SharedBudget, toReportedBudget } from '../../src/service/account-run.js'
import type { Simulator } from '../../src/simulator/server.js'
import { createSpidraClient } from '../../src/spidra/client.js'
import { parseItem } from '../../src/spidra/wire.js'
import { type RecordedRun, type RecordedRunOptions, recordRun } from '../../src/sync/recorded-run.js'
import { openRun, RUN_END } from './job-rows.js'
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
      | 'mustYield'
      | 'signal'
      | 'account'
      | 'onPage'
      | 'databaseUrl'
      | 'longestSilenceMs'
    >
  > {
  /** Durations that differ from the defaults. */
  readonly timing?: Partial<Timing>
  /** Default: no limit. */
  readonly sharedBudget?: SharedBudget
  /** Called before every wait for the budget. */
  readonly onWait?: () => void
}

/** The result of a run, with what the simulator and the log recorded. */
export interface ObservedRun {
  readonly summary: RecordedRun['summary']
  readonly error: Error | null
  /** Counted by the simulator. */
  readonly requests: number
  /** Requested pages, in order; of the last 1,000 requests. */
  readonly pages: readonly (number | null)[]
  /** Messages of level `warn` and above. */
  readonly warnings: readonly string[]
}

/** Makes one recorded run against a simulator. Default: incremental. */
export async function runAgainst(
  simulator: Simulator,
  { db, url }: Pick<TestDatabase, 'db' | 'url'>,
  { sharedBudget, onWait, timing, ...options }: RunOptions = {},
): Promise<ObservedRun> {
  const before = simulator.requestCount
  const lines: { readonly level: number; readonly msg: string }[] = []
  const note = (line: string): void => {
    // There is no redaction here: a run must not log any secret in the first place.
    expect(leaksIn(line, secretsIn({ DATABASE_URL: url, SPIDRA_API_KEY: simulator.key }))).toEqual([])
    lines.push(JSON.parse(line))
  }
  let stopListening: (() => void) | undefined
  const { summary, error } = await recordRun({
    db,
    databaseUrl: url,
    account: 'default',
    // The same for every simulator, so that no run takes its list for another account's.
    source: { apiUrl: 'https://list.test', keyOrigin: 'SPIDRA_API_KEY', fingerprint: options.account ?? 'default' },
    mode: 'incremental',
    trigger: 'manual',
    worker: 'test:1',
    pagesPerRun: 20,
    timing: { ...TIMING, ...timing },
    sizes: SYNC_SIZES,
    mayGo: sharedBudget?.budget.mayGo ?? (() => true),
    signal: new AbortController().signal,
    redact: (text) => text,
    log: pino({ level: 'warn' }, { write: note }),
    ...options,
    readBudget: () => ({
      budget: toReportedBudget(sharedBudget?.budget.reported() ?? null),
      waitMs: sharedBudget?.budget.waitMs() ?? 0,
    }),
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
 * Fills the table with the jobs of the simulator, as a complete run would leave it, with no slice of the sweep due. It
 * loads a hundred thousand jobs in seconds, because it sends no requests.
 */
export async function loadTable(
  simulator: Simulator,
  { db, sql }: Pick<TestDatabase, 'db' | 'sql'>,
  account = 'default',
): Promise<void> {
  const run = await openRun(db, account)
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
  await refreshDailyTotals(db, account)
  await finishRun(db, run, RUN_END)
  await sql(
    `INSERT INTO spidra.sync_state (account, is_whole, last_complete_at, reread_since, last_sweep_at, source_fingerprint)
     VALUES ($1, true, now(), now(), now(), $1)`,
    [account],
  )
}

/** Sets the time of the last slice of the sweep to now, so that none is due. */
export async function noteSweep({ sql }: TestDatabase): Promise<void> {
  await sql('UPDATE spidra.sync_state SET last_sweep_at = now()')
}

/** Makes the next slice of the sweep due. */
export async function makeSweepDue({ sql }: TestDatabase): Promise<void> {
  await sql("UPDATE spidra.sync_state SET last_sweep_at = now() - interval '1 hour'")
}

/** Reads the uuids of the jobs in the table that are not removed. */
export async function storedUuids({ sql }: TestDatabase): Promise<Set<string>> {
  const rows = await sql<{ uuid: string }>('SELECT uuid::text AS uuid FROM spidra.batch_jobs WHERE removed_at IS NULL')
  return new Set(rows.map(({ uuid }) => uuid))
}
