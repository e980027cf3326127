import { type FiringAlert, readFiringAlerts } from '../db/alerts.js'
import type { Database } from '../db/client.js'
import type { SyncRun, SyncState } from '../db/generated/client.js'
import { type OpenRejections, readOpenRejections } from '../db/rejected-jobs.js'
import type { RunCounters } from '../db/sync-runs.js'

/** A run of `spidra.sync_runs`. Instants are ISO 8601, the id is a string: all of it survives JSON. */
export interface RunReport extends RunCounters {
  readonly id: string
  readonly mode: string
  readonly trigger: string
  readonly status: string
  /** Why it is partial, or what failed; null for a run in order. */
  readonly reason: string | null
  readonly errorMessage: string | null
  readonly startedAt: string
  readonly finishedAt: string | null
  /** While it runs, its counters are as of this moment; at first, when it started. */
  readonly heartbeatAt: string
  readonly durationMs: number
  readonly listedTotal: number | null
  /** Jobs, and rejected items that are no version of a stored job. */
  readonly storedTotal: number | null
}

/** Something that is wrong now, by the last look of a service. */
export interface AlertReport {
  readonly kind: string
  readonly since: string
  readonly summary: string
}

/** What the runs that started on a day have cost. */
export interface DayReport {
  /** UTC, as in `2026-03-01`. */
  readonly day: string
  readonly runs: number
  readonly requests: number
  readonly retries: number
  readonly waitedMs: number
}

/** How fresh the table is and what the worker did last: `status --json` and `/api/status`. */
export interface StatusReport {
  readonly account: string
  /** When the database was last proved to hold what the API lists, as jobs or as rejected items; null before the first time. */
  readonly lastCompleteAt: string | null
  readonly lagSeconds: number | null
  /**
   * Every listed job has been read again at or after this moment; null before the first whole pass. `lastCompleteAt`
   * speaks of the set of jobs and of the open ones, this of the rest.
   */
  readonly rereadSince: string | null
  readonly nextRunAt: string | null
  /** The request budget as the API last told it; null until it did. */
  readonly rateLimit: {
    readonly limit: number
    readonly remaining: number | null
    readonly resetAt: string | null
  } | null
  readonly today: DayReport
  /** What fires, longest first. */
  readonly alerts: readonly AlertReport[]
  /** Stored jobs that are still listed. */
  readonly liveJobs: number
  /** Open ones without progress for longer than `STUCK_AFTER_HOURS`. */
  readonly stuckJobs: number
  /** Listed items that could not be stored as they are: neither as jobs, nor as new versions of stored jobs. */
  readonly openRejections: number
  /** Stored jobs whose newest version is among them. */
  readonly outdatedJobs: number
  /** The last ten, newest first. */
  readonly runs: readonly RunReport[]
}

const RUNS_SHOWN = 10

/** Reads the status of an account. A database without our tables counts as one in which nothing has run yet. */
export async function readStatus(db: Database, options: { account: string; now: Date }): Promise<StatusReport> {
  const { account, now } = options
  const records = (await isMigrated(db)) ? await readRecords(db, account, now) : NO_RECORDS
  const { state, liveJobs, stuckJobs, rejections, runs } = records
  const lastCompleteAt = state?.lastCompleteAt ?? null
  return {
    account,
    lastCompleteAt: toText(lastCompleteAt),
    // Another machine's clock may be ahead of ours; a table cannot be fresher than fresh.
    lagSeconds: lastCompleteAt && Math.max(0, Math.round((now.getTime() - lastCompleteAt.getTime()) / 1000)),
    rereadSince: toText(state?.rereadSince),
    nextRunAt: toText(state?.nextRunAt),
    rateLimit: state && toRateLimit(state),
    today: { day: toDay(now), ...records.today },
    alerts: records.alerts.map((alert) => ({ ...alert, since: alert.since.toISOString() })),
    liveJobs,
    stuckJobs,
    openRejections: rejections.unstored + rejections.outdated,
    outdatedJobs: rejections.outdated,
    runs: runs.map((run) => toRunReport(run, now)),
  }
}

interface Records {
  readonly state: SyncState | null
  readonly today: Omit<DayReport, 'day'>
  readonly alerts: readonly FiringAlert[]
  readonly liveJobs: number
  readonly stuckJobs: number
  readonly rejections: OpenRejections
  readonly runs: readonly SyncRun[]
}

const NO_RECORDS: Records = {
  ...{ state: null, alerts: [], liveJobs: 0, stuckJobs: 0, runs: [] },
  rejections: { unstored: 0, outdated: 0 },
  today: { runs: 0, requests: 0, retries: 0, waitedMs: 0 },
}

async function readRecords(db: Database, account: string, now: Date): Promise<Records> {
  const [state, alerts, jobs, rejections, runs, today] = await Promise.all([
    db.syncState.findUnique({ where: { account } }),
    readFiringAlerts(db, account),
    countJobs(db, account),
    readOpenRejections(db, account),
    db.syncRun.findMany({ where: { account }, orderBy: [{ startedAt: 'desc' }, { id: 'desc' }], take: RUNS_SHOWN }),
    sumRuns(db, account, toDay(now)),
  ])
  return { state, today, alerts, ...jobs, rejections, runs }
}

async function countJobs(db: Database, account: string): Promise<Pick<Records, 'liveJobs' | 'stuckJobs'>> {
  const rows = await db.$queryRaw<Pick<Records, 'liveJobs' | 'stuckJobs'>[]>`
    SELECT
      (SELECT count(*)::double precision FROM spidra.batch_jobs
       WHERE account = ${account} AND removed_at IS NULL) AS "liveJobs",
      (SELECT count(*)::double precision FROM spidra_reporting.stuck_batch_jobs
       WHERE account = ${account}) AS "stuckJobs"`
  return rows[0] ?? NO_RECORDS
}

async function sumRuns(db: Database, account: string, day: string): Promise<Records['today']> {
  const rows = await db.$queryRaw<Records['today'][]>`
    SELECT count(*)::integer AS runs, coalesce(sum(requests), 0)::double precision AS requests,
      coalesce(sum(retries), 0)::double precision AS retries,
      coalesce(sum(waited_ms), 0)::double precision AS "waitedMs"
    FROM spidra.sync_runs WHERE account = ${account} AND started_at >= ${day}::date::timestamp AT TIME ZONE 'UTC'`
  return rows[0] ?? NO_RECORDS.today
}

async function isMigrated(db: Database): Promise<boolean> {
  const rows = await db.$queryRaw<{ found: boolean }[]>`SELECT to_regclass('spidra.sync_runs') IS NOT NULL AS found`
  return rows[0]?.found ?? false
}

function toRateLimit(state: SyncState): StatusReport['rateLimit'] {
  if (state.rateLimit === null) return null
  return { limit: state.rateLimit, remaining: state.rateRemaining, resetAt: toText(state.rateResetAt) }
}

function toRunReport(run: SyncRun, now: Date): RunReport {
  const { account: _account, worker: _worker, statusReason, errorCode, ...shown } = run
  return {
    ...shown,
    id: String(run.id),
    reason: statusReason ?? errorCode,
    startedAt: run.startedAt.toISOString(),
    finishedAt: toText(run.finishedAt),
    heartbeatAt: run.heartbeatAt.toISOString(),
    durationMs: Math.max(0, (run.finishedAt ?? now).getTime() - run.startedAt.getTime()),
  }
}

/** The UTC day. */
function toDay(instant: Date): string {
  return instant.toISOString().slice(0, 10)
}

function toText(instant: Date | null | undefined): string | null {
  return instant?.toISOString() ?? null
}
