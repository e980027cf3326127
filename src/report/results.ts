import type { Config } from '../config/config.js'
import { PAGE_LIMIT } from '../config/scale.js'
import { countOpenPages } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import { counted } from '../logging/printable.js'
import { incrementalRun, type ResultsFacts, resultsCost, toStartingBudget } from '../sync/cost.js'
import { toCount } from './format.js'
import { readLastRuns, toIso, toRequestMs, toTime } from './load-progress.js'

/** How far the items of an account's batches are read. Instants are ISO 8601. */
export interface ResultsProgress {
  /** When it was computed, by the clock of the database. */
  readonly asOf: string
  /** `SYNC_RESULTS` of the last run. */
  readonly mode: string
  /** Listed jobs that have ended. */
  readonly endedJobs: number
  /** Those of them that are still to be read. After results were switched on, stored jobs count until they have been compared. */
  readonly dueJobs: number
  /** The latest verdict at which none was due; null before that. */
  readonly completeAsOf: string | null
  /**
   * When all will be read, as `plan` computes it, if no job ends meanwhile and no other client uses the budget. Null: none is
   * due, or it is unknown, because no next run is scheduled, or the list needs over half of the budget.
   */
  readonly doneAt: string | null
}

interface Row {
  readonly mode: string
  readonly perRun: number
  readonly dueJobs: number
  readonly completeAsOf: Date | null
  readonly endedJobs: number
  readonly limit: number | null
  /** Until the next run begins; 0: it is due. */
  readonly startsInMs: number | null
  /** Between two runs of the schedule, as of the last run. */
  readonly intervalMs: number | null
}

/**
 * Reads how far the items of an account's batches are read; null where results are off as of its last run.
 *
 * @param options `rateLimit`: the configured one, by which the end is estimated where the API reports none; null: no estimate
 */
export async function readResultsProgress(
  db: Database,
  {
    account,
    now,
    rateLimit,
  }: { readonly account: string; readonly now: Date; readonly rateLimit: Config['rateLimit'] | null },
): Promise<ResultsProgress | null> {
  // The kept sums answer for the jobs, because counting a million takes a third of a second.
  const [row] = await db.$queryRaw<Row[]>`
    SELECT s.results_mode AS mode, s.results_per_run AS "perRun", f.results_due::double precision AS "dueJobs",
      f.results_complete_as_of AS "completeAsOf", s.rate_limit AS limit,
      (SELECT coalesce(sum(d.jobs - d.open_jobs), 0)::double precision FROM spidra_reporting.daily_batch_jobs d
       WHERE d.account = s.account) AS "endedJobs",
      CASE WHEN s.next_run_at IS NOT NULL THEN extract(epoch FROM greatest(s.next_run_at - now(), interval '0'))::double precision * 1000 END AS "startsInMs",
      s.results_interval_ms AS "intervalMs"
    FROM spidra.sync_state s JOIN spidra_reporting.sync_freshness f USING (account)
    WHERE s.account = ${account} AND s.results_mode IS NOT NULL`
  if (row === undefined) return null
  const { mode, dueJobs, completeAsOf, endedJobs } = row
  const doneInMs = dueJobs === 0 || rateLimit === null ? null : await estimate(db, row, { account, rateLimit })
  return {
    asOf: now.toISOString(),
    mode,
    // A job that has ended since the sums were kept may be due already.
    endedJobs: Math.max(endedJobs, dueJobs),
    dueJobs,
    completeAsOf: completeAsOf?.toISOString() ?? null,
    doneAt: doneInMs === null ? null : toIso(now.getTime() + doneInMs),
  }
}

/** The time until all due batches are read, in milliseconds; null: unknown. */
async function estimate(
  db: Database,
  { perRun, dueJobs, endedJobs, limit, startsInMs, intervalMs }: Row,
  { account, rateLimit }: { readonly account: string; readonly rateLimit: Config['rateLimit'] },
): Promise<number | null> {
  const runs = await readLastRuns(db, account)
  // As for a load: a run that was due and has not started says nothing of the next one.
  if (startsInMs === null || intervalMs === null || (startsInMs === 0 && runs[0]?.status !== 'running')) return null
  const latencyMs = runs.map(toRequestMs).find((requestMs) => requestMs !== null)
  if (latencyMs === undefined) return null
  const openPages = await countOpenPages(db, account, PAGE_LIMIT)
  // Only the process that runs the account knows its PAGES_PER_RUN.
  const list = { openPages, pagesPerRun: Number.POSITIVE_INFINITY, isSweepDue: false, budget: null }
  const reported = limit === null ? null : { limit, remaining: limit, resetInMs: null }
  const facts: ResultsFacts = {
    ...{ perRun, intervalMs, latencyMs },
    listRequests: incrementalRun(endedJobs, PAGE_LIMIT, list).requests,
    budget: toStartingBudget(reported, rateLimit),
    ...(await countSharers(db, runs[0]?.worker ?? '')),
  }
  const { durationMs } = resultsCost(dueJobs, facts)
  return durationMs === null ? null : startsInMs + durationMs
}

/** Counts the accounts that run on the same machine, and those of them with batches to read. */
async function countSharers(db: Database, worker: string): Promise<Pick<ResultsFacts, 'accounts' | 'readers'>> {
  const [row] = await db.$queryRaw<{ accounts: number; readers: number }[]>`
    SELECT count(*)::integer AS accounts, count(*) FILTER (WHERE s.results_mode IS NOT NULL AND (s.results_noted_to
        IS DISTINCT FROM '-infinity' OR EXISTS (SELECT FROM spidra.results_due d WHERE d.account = s.account)))::integer AS readers
    FROM spidra.sync_state s
    CROSS JOIN LATERAL (
      SELECT r.worker FROM spidra.sync_runs r
      WHERE r.account = s.account ORDER BY r.started_at DESC, r.id DESC LIMIT 1
    ) own
    WHERE s.next_run_at IS NOT NULL AND regexp_replace(own.worker, ':[^:]*$', '') = regexp_replace(${worker}, ':[^:]*$', '')`
  return { accounts: Math.max(1, row?.accounts ?? 1), readers: Math.max(1, row?.readers ?? 1) }
}

/** 4,950 of 5,000 ended batches read, 50 due, done about 14:30 UTC */
export function toResultsText({ asOf, endedJobs, dueJobs, doneAt }: ResultsProgress): string {
  if (endedJobs === 0) return 'no batch has ended yet'
  const ended = counted(endedJobs, 'ended batch', 'ended batches')
  if (dueJobs === 0) return `all of ${ended} read`
  const end = doneAt === null ? '' : `, done about ${toTime(new Date(doneAt), new Date(asOf))} UTC`
  return `${toCount(endedJobs - dueJobs)} of ${ended} read, ${toCount(dueJobs)} due${end}`
}
