import type { Config } from '../config/config.js'
import { type AlertKind, type FiringAlert, readFiringAlerts } from '../db/alerts.js'
import { type Database, hasTable, readDatabaseTime } from '../db/client.js'
import type { SyncRun, SyncState } from '../db/generated/client.js'
import { type OpenRejections, readOpenRejections } from '../db/rejected-jobs.js'
import type { RunCounters } from '../db/sync-runs.js'
import { type FleetReport, readFleet } from './fleet.js'
import { type LoadProgress, loadProgressFrom, readLastRuns } from './load-progress.js'
import { type ResultsProgress, readResultsProgress } from './results.js'

/** A run of `spidra.sync_runs`. Instants are ISO 8601 and the id is a string, so that JSON keeps them. */
export interface RunReport extends RunCounters {
  readonly id: string
  readonly mode: string
  readonly trigger: string
  readonly status: string
  /** Why it is partial, or the code of its error; null for a complete run. */
  readonly reason: string | null
  readonly errorMessage: string | null
  readonly startedAt: string
  readonly finishedAt: string | null
  /** The counters of a run under way are as of this moment. Before the first heartbeat it is the start. */
  readonly heartbeatAt: string
  readonly durationMs: number
  readonly listedTotal: number | null
  /** Stored jobs plus rejected items that are not versions of a stored job. */
  readonly storedTotal: number | null
}

/** An alert that fires, by the last check of a service. */
export interface AlertReport {
  readonly kind: string
  readonly since: string
  readonly summary: string
}

/** The requests of the runs that started on a day. */
export interface DayReport {
  /** UTC, as in `2026-03-01`. */
  readonly day: string
  readonly runs: number
  readonly requests: number
  readonly retries: number
  readonly waitedMs: number
}

/** Freshness and last runs of an account, as in `status --json` and `/api/status`. */
export interface StatusReport {
  readonly account: string
  /** When it was read, by the clock of the database. */
  readonly asOf: string
  /** When the database was last proved to hold all listed items, as jobs or as rejected items; null before that. */
  readonly lastCompleteAt: string | null
  readonly lagSeconds: number | null
  /**
   * Every listed job has been read again at or after this moment; null before the first complete pass. `lastCompleteAt` is
   * about the set of jobs and the fields of open ones, this is about the fields of all others.
   */
  readonly rereadSince: string | null
  readonly nextRunAt: string | null
  /** The request budget as the API last reported it; null before that. */
  readonly rateLimit: {
    readonly limit: number
    readonly remaining: number | null
    readonly resetAt: string | null
  } | null
  readonly today: DayReport
  /** Of a first load, or of a full pass over a list that was read before; null where none is unfinished. */
  readonly progress: LoadProgress | null
  /** How far the items of batches are read. Absent where `SYNC_RESULTS` is off. */
  readonly results?: ResultsProgress
  /** Firing alerts, oldest first. */
  readonly alerts: readonly AlertReport[]
  /** Stored jobs that are still listed. */
  readonly liveJobs: number
  /** Open jobs without progress for longer than `STUCK_AFTER_HOURS`. */
  readonly stuckJobs: number
  /** Listed items that could not be stored, neither as jobs nor as new versions of stored jobs. */
  readonly openRejections: number
  /** Stored jobs whose newest version is among those items. */
  readonly outdatedJobs: number
  /** The last ten, newest first. */
  readonly runs: readonly RunReport[]
}

/** The document of `/api/status` and `status --json`, the same for one account and for many. */
export interface StatusDocument {
  /** Is raised when a field is removed, moved, or changes its meaning or type. New fields do not raise it. */
  readonly version: 1
  /** In the order of the accounts file. */
  readonly accounts: readonly StatusReport[]
  /** Null if no fleet has ever used this database. */
  readonly fleet: FleetReport | null
}

/**
 * Reads the status of an account. A database without our tables gives the status of an account without runs.
 *
 * @param options `rateLimit`: the configured one, by which the progress is estimated where the API reports no limit
 */
export async function readStatus(
  db: Database,
  options: { readonly account: string; readonly now: Date; readonly rateLimit: Config['rateLimit'] },
): Promise<StatusReport> {
  const { account, now } = options
  const records = (await hasTable(db, 'spidra.sync_runs')) ? await readRecords(db, account, now) : NO_RECORDS
  const { state, liveJobs, stuckJobs, rejections, runs } = records
  const lastCompleteAt = state?.lastCompleteAt ?? null
  const results = state?.resultsMode == null ? null : await readResultsProgress(db, options)
  return {
    account,
    asOf: now.toISOString(),
    lastCompleteAt: toText(lastCompleteAt),
    // Never negative, although another machine's clock may be ahead of ours.
    lagSeconds: lastCompleteAt && Math.max(0, Math.round((now.getTime() - lastCompleteAt.getTime()) / 1000)),
    rereadSince: toText(state?.rereadSince),
    nextRunAt: toText(state?.nextRunAt),
    rateLimit: state && toRateLimit(state),
    today: { day: toDay(now), ...records.today },
    progress: state && (await loadProgressFrom(db, { state, runs }, options)),
    ...(results === null ? {} : { results }),
    alerts: records.alerts.map((alert) => ({ ...alert, since: alert.since.toISOString() })),
    liveJobs,
    stuckJobs,
    openRejections: rejections.unstored + rejections.outdated,
    outdatedJobs: rejections.outdated,
    runs: runs.map((run) => toRunReport(run, now)),
  }
}

/** Reads the status of these accounts, one after the other, so that runs and probes keep their connections. */
export async function readStatusDocument(
  db: Database,
  accounts: readonly string[],
  rateLimit: Config['rateLimit'],
): Promise<StatusDocument> {
  const reports: StatusReport[] = []
  for (const account of accounts) {
    reports.push(await readStatus(db, { account, now: await readDatabaseTime(db), rateLimit }))
  }
  return { version: 1, accounts: reports, fleet: await readFleet(db) }
}

/** Freshness and totals of an account, whichever process runs it. */
export interface AccountProgress {
  readonly account: string
  readonly lastCompleteAt: Date | null
  readonly rereadSince: Date | null
  /** Jobs listed at the last verdict; null before the first. */
  readonly listedTotal: number | null
  /** Stored live jobs plus open rejections, at the same verdict. */
  readonly storedTotal: number | null
  /** Listed items that could not be stored as listed, now. */
  readonly openRejections: number
  /** Open jobs without progress for longer than `STUCK_AFTER_HOURS`, now. */
  readonly stuckJobs: number
  /** By the last check of a service; an older version may have stored other kinds. */
  readonly firingAlerts: readonly string[]
  /** Requests of a window, and what is left of the one under way, as the API last reported; null: it reports none. */
  readonly requestLimit: number | null
  readonly requestsLeft: number | null
  /** Whether a first load is unfinished; `readLoadProgress` shows how far it is. */
  readonly isFirstLoad: boolean
  /** Batches whose items are to be read, and the latest verdict at which there was none; null where results are off. */
  readonly results: { readonly due: number; readonly completeAsOf: Date | null } | null
}

/** Reads freshness and totals of all accounts that have ever run. */
export async function readProgress(db: Database): Promise<readonly AccountProgress[]> {
  type Row = Omit<AccountProgress, 'results'> & { resultsDue: number | null; resultsCompleteAsOf: Date | null }
  const rows = await db.$queryRaw<Row[]>`
    SELECT f.account, f.complete_as_of AS "lastCompleteAt", f.every_job_reread_since AS "rereadSince",
      f.listed_jobs AS "listedTotal", f.stored_jobs AS "storedTotal",
      f.open_rejections::double precision AS "openRejections", coalesce(stuck.jobs, 0) AS "stuckJobs",
      ARRAY(SELECT a.kind FROM spidra.alerts a WHERE a.account = f.account AND a.state = 'firing') AS "firingAlerts",
      s.rate_limit AS "requestLimit",
      CASE WHEN s.rate_reset_at <= now() THEN s.rate_limit ELSE s.rate_remaining END AS "requestsLeft",
      s.last_complete_at IS NULL AND NOT s.is_whole AS "isFirstLoad",
      f.results_due::double precision AS "resultsDue", f.results_complete_as_of AS "resultsCompleteAsOf"
    FROM spidra_reporting.sync_freshness f
    JOIN spidra.sync_state s USING (account)
    LEFT JOIN (
      SELECT j.account, count(*)::double precision AS jobs FROM spidra_reporting.stuck_batch_jobs j GROUP BY j.account
    ) stuck USING (account)`
  return rows.map(({ resultsDue, resultsCompleteAsOf, ...progress }) => ({
    ...progress,
    results: resultsDue === null ? null : { due: resultsDue, completeAsOf: resultsCompleteAsOf },
  }))
}

/** The kinds of alerts that this version knows. A record, so that a new kind does not compile until it is here. */
export const ALERT_KINDS = Object.keys({
  runs_failing: true,
  run_stalled: true,
  key_refused: true,
  run_partial: true,
  stale: true,
  stuck_jobs: true,
  rejections: true,
} satisfies Record<AlertKind, true>)

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
    readLastRuns(db, account),
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
      -- A wait is counted whole when it begins.
      coalesce(sum(waited_ms - CASE WHEN status = 'running' AND waits_until > now()
        THEN least(waited_ms, extract(epoch FROM waits_until - now()) * 1000) ELSE 0 END), 0)::double precision AS "waitedMs"
    FROM spidra.sync_runs WHERE account = ${account} AND started_at >= ${day}::date::timestamp AT TIME ZONE 'UTC'`
  return rows[0] ?? NO_RECORDS.today
}

function toRateLimit(state: SyncState): StatusReport['rateLimit'] {
  if (state.rateLimit === null) return null
  return { limit: state.rateLimit, remaining: state.rateRemaining, resetAt: toText(state.rateResetAt) }
}

function toRunReport(run: SyncRun, now: Date): RunReport {
  const { account: _account, worker: _worker, pidNamespace: _pidNamespace, statusReason, errorCode, ...rest } = run
  // The progress shows them.
  const { latestTotal: _latestTotal, waitsUntil: _waitsUntil, ...shown } = rest
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
