import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { userInfo } from 'node:os'
import { TIMING } from '../config/scale.js'
import type { Database } from './client.js'
import { Prisma } from './generated/client.js'
import { RunClosedError, type RunCounters, type RunKey, toCounterColumns } from './sync-runs.js'
import type { ReportedBudget } from './sync-state.js'

export interface NewRun {
  readonly account: string
  readonly mode: 'full' | 'incremental'
  readonly trigger: 'schedule' | 'startup' | 'manual'
  /** `host:pid`. */
  readonly worker: string
}

/**
 * Opens the record of a run; returns null when another worker runs the account.
 *
 * The record is the account's lease: a unique index allows one `running` record of an account. It needs no connection of its
 * own, so it works behind any proxy. A record is closed first where its worker is dead: it has not advanced for
 * `deadAfterMs`, or its process was on this system and is gone. Closing waits for a merge under way and prevents the next one
 * (`fence`), so a worker that was only asleep writes nothing more.
 */
export async function startRun(
  db: Database,
  run: NewRun,
  deadAfterMs: number = TIMING.deadAfterMs,
): Promise<RunKey | null> {
  const opened = await insertRun(db, run)
  if (opened !== null) return opened
  await closeDeadRun(db, run.account, deadAfterMs)
  return insertRun(db, run)
}

async function insertRun(db: Database, { account, mode, trigger, worker }: NewRun): Promise<RunKey | null> {
  // The times are defaults of the table: they come from the database's clock, because the clocks of workers differ.
  const [row] = await db.syncRun.createManyAndReturn({
    data: [{ account, mode, trigger, worker, pidNamespace: readPidNamespace() }],
    skipDuplicates: true,
    select: { id: true },
  })
  return row === undefined ? null : { id: row.id, account }
}

/** Closes the running record of the account if its worker is dead. */
async function closeDeadRun(db: Database, account: string, deadAfterMs: number): Promise<void> {
  const run = await db.syncRun.findFirst({
    where: { account, status: 'running' },
    select: { id: true, worker: true, pidNamespace: true },
  })
  if (run === null) return
  // Raw SQL: the age of the heartbeat is by the database's clock.
  await db.$executeRaw`
    UPDATE spidra.sync_runs
    SET status = 'aborted', finished_at = now(), error_code = 'worker_lost',
        error_message = 'The run no longer advanced, or its process was gone; another worker took over'
    WHERE id = ${run.id} AND status = 'running'
      AND (${isProcessGone(run)} OR heartbeat_at < now() - make_interval(secs => ${deadAfterMs / 1000}))`
}

/** Whether a living worker runs the account, or began to within `startedWithinMs`. Default 0. */
export async function isAccountRunning(
  db: Database,
  account: string,
  { startedWithinMs = 0 }: { readonly startedWithinMs?: number } = {},
): Promise<boolean> {
  // Raw SQL: all ages are by the database's clock.
  const rows = await db.$queryRaw<{ worker: string; pidNamespace: string | null; isNew: boolean }[]>`
    SELECT r.worker, r.pid_namespace AS "pidNamespace", r.is_new AS "isNew"
    FROM (
      SELECT *, started_at > now() - make_interval(secs => ${startedWithinMs / 1000}) AS is_new FROM spidra.sync_runs
    ) r
    WHERE r.account = ${account} AND (r.is_new
      OR r.status = 'running' AND r.heartbeat_at > now() - make_interval(secs => ${TIMING.deadAfterMs / 1000}))`
  return rows.some((run) => run.isNew || !isProcessGone(run))
}

/** What a run reports with its heartbeat. */
export interface RunReported {
  readonly counters: RunCounters
  /** Number of listed jobs, by the latest answer; null before the first. */
  readonly latestTotal: number | null
  /** How long it must still wait for the request budget, in milliseconds; 0: it does not wait. */
  readonly waitMs: number
  /** The request budget as the API last reported it; null: it reports none. */
  readonly budget: ReportedBudget | null
}

/**
 * Writes the heartbeat of the run and what it reports, in one statement.
 *
 * @throws RunClosedError when another worker has closed the run
 */
export async function beatRun(db: Database, run: RunKey, reported: RunReported): Promise<void> {
  const { counters, latestTotal, waitMs, budget } = reported
  const waitsUntil = waitMs > 0 ? Prisma.sql`now() + make_interval(secs => ${waitMs / 1000})` : Prisma.sql`NULL`
  const state =
    budget === null
      ? Prisma.empty
      : Prisma.sql`, state AS (
          UPDATE spidra.sync_state s SET rate_limit = ${budget.limit}, rate_remaining = ${budget.remaining},
            rate_reset_at = ${budget.resetAt}
          FROM beaten b WHERE s.account = b.account
        )`
  // Raw SQL: the heartbeat is a time of the database's clock, and two tables are written by one statement.
  const [row] = await db.$queryRaw<{ written: number }[]>`
    WITH beaten AS (
      UPDATE spidra.sync_runs SET heartbeat_at = now(), ${toCounterColumns(counters)},
        latest_total = ${latestTotal}::integer, waits_until = ${waitsUntil}
      WHERE id = ${run.id} AND status = 'running'
      RETURNING account
    ) ${state}
    SELECT count(*)::integer AS written FROM beaten`
  if (row?.written !== 1) throw new RunClosedError(run)
}

/** Whether the process of a worker was on this system and is gone. Where that cannot be known, its heartbeat decides. */
function isProcessGone({
  worker,
  pidNamespace,
}: {
  readonly worker: string
  readonly pidNamespace: string | null
}): boolean {
  if (pidNamespace === null || pidNamespace !== readPidNamespace()) return false
  const pid = worker.slice(worker.lastIndexOf(':') + 1)
  return !existsSync(`/proc/${pid}`)
}

/**
 * What must be the same for a process to be looked up: the boot, the namespace of process numbers, and the user, because a
 * system may hide the processes of others. Host names are not enough: containers can share one, and each numbers its processes
 * from 1. Null: not Linux.
 */
function readPidNamespace(): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot} ${readlinkSync('/proc/self/ns/pid')} uid:${userInfo().uid}`
  } catch {
    return null
  }
}
