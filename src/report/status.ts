import type { Database } from '../db/client.js'
import type { SyncRun, SyncState } from '../db/generated/client.js'
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
  readonly durationMs: number
  readonly listedTotal: number | null
  readonly storedTotal: number | null
}

/** How fresh the table is and what the worker did last: `status --json` and `/api/status`. */
export interface StatusReport {
  readonly account: string
  /** When a run last proved that the table holds what the API lists; null before the first. */
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
  /** Stored jobs that are still listed. */
  readonly liveJobs: number
  /** Listed items that could not be stored as jobs. */
  readonly openRejections: number
  /** The last ten, newest first. */
  readonly runs: readonly RunReport[]
}

const RUNS_SHOWN = 10

/** Reads the status of an account. A database without our tables counts as one in which nothing has run yet. */
export async function readStatus(db: Database, options: { account: string; now: Date }): Promise<StatusReport> {
  const { account, now } = options
  const { state, liveJobs, openRejections, runs } = (await isMigrated(db)) ? await readRecords(db, account) : NO_RECORDS
  const lastCompleteAt = state?.lastCompleteAt ?? null
  return {
    account,
    lastCompleteAt: toText(lastCompleteAt),
    // Another machine's clock may be ahead of ours; a table cannot be fresher than fresh.
    lagSeconds: lastCompleteAt && Math.max(0, Math.round((now.getTime() - lastCompleteAt.getTime()) / 1000)),
    rereadSince: toText(state?.rereadSince),
    nextRunAt: toText(state?.nextRunAt),
    rateLimit: state && toRateLimit(state),
    liveJobs,
    openRejections,
    runs: runs.map((run) => toRunReport(run, now)),
  }
}

interface Records {
  readonly state: SyncState | null
  readonly liveJobs: number
  readonly openRejections: number
  readonly runs: readonly SyncRun[]
}

const NO_RECORDS: Records = { state: null, liveJobs: 0, openRejections: 0, runs: [] }

async function readRecords(db: Database, account: string): Promise<Records> {
  const [state, liveJobs, openRejections, runs] = await Promise.all([
    db.syncState.findUnique({ where: { account } }),
    db.batchJob.count({ where: { account, removedAt: null } }),
    db.rejectedJob.count({ where: { account, resolvedAt: null } }),
    db.syncRun.findMany({ where: { account }, orderBy: [{ startedAt: 'desc' }, { id: 'desc' }], take: RUNS_SHOWN }),
  ])
  return { state, liveJobs, openRejections, runs }
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
  const { account: _account, worker: _worker, heartbeatAt: _heartbeatAt, statusReason, errorCode, ...shown } = run
  return {
    ...shown,
    id: String(run.id),
    reason: statusReason ?? errorCode,
    startedAt: run.startedAt.toISOString(),
    finishedAt: toText(run.finishedAt),
    durationMs: Math.max(0, (run.finishedAt ?? now).getTime() - run.startedAt.getTime()),
  }
}

function toText(instant: Date | null | undefined): string | null {
  return instant?.toISOString() ?? null
}
