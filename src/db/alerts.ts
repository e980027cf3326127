import { type Database, isoText } from './client.js'

/** The kinds of alerts. Kinds are stored, so an older version may read one that it does not know. */
export type AlertKind =
  | 'runs_failing'
  | 'run_stalled'
  | 'key_refused'
  | 'run_partial'
  | 'stale'
  | 'stuck_jobs'
  | 'rejections'

export type AlertState = 'firing' | 'resolved'

/** The numbers and names behind an alert. */
export type AlertDetails = Readonly<Record<string, string | number | null | readonly string[]>>

/** The present state of one kind of alert. */
export interface AlertFinding {
  readonly kind: AlertKind
  readonly state: AlertState
  /** A sentence for people. */
  readonly summary: string
  readonly details: AlertDetails
}

/** A state that has not been reported to the webhook. */
export interface DueAlert extends Omit<AlertFinding, 'kind'> {
  readonly kind: string
  /** When a check found that the state had changed. */
  readonly since: Date
}

/** An alert that is firing. */
export interface FiringAlert {
  readonly kind: string
  readonly since: Date
  readonly summary: string
}

/** A claim ends after this time, and its sender counts as dead. Longer than a message takes with all its retries. */
const CLAIM_SECONDS = 120

/**
 * Stores the findings of a check at `asOf`. Writes only states that changed, and never over a state that was found later,
 * so that the slower of two workers cannot undo the newer state.
 */
export async function noteAlerts(
  db: Database,
  account: string,
  findings: readonly AlertFinding[],
  asOf: string,
): Promise<void> {
  // Raw SQL: one statement for several rows, each written only where its state changed.
  await db.$executeRaw`
    INSERT INTO spidra.alerts AS kept (account, kind, state, since, summary, details)
    SELECT ${account}, n.kind, n.state, ${asOf}::timestamptz, n.summary, n.details
    FROM jsonb_to_recordset(${JSON.stringify(findings)}::jsonb) AS n (kind text, state text, summary text, details jsonb)
    LEFT JOIN spidra.alerts k ON k.account = ${account} AND k.kind = n.kind
    WHERE n.state <> coalesce(k.state, 'resolved')
    ORDER BY n.kind
    ON CONFLICT (account, kind) DO UPDATE
    SET state = excluded.state, since = excluded.since, summary = excluded.summary, details = excluded.details
    WHERE kept.state <> excluded.state AND kept.since < excluded.since`
}

/** Claims the messages that are due, so that no other worker sends them. The claim of a dead worker expires. */
export async function claimAlerts(db: Database, account: string, worker: string): Promise<readonly DueAlert[]> {
  // Raw SQL: the claim ends by the database's clock, and a model cannot compare two columns.
  return await db.$queryRaw<DueAlert[]>`
    UPDATE spidra.alerts
    SET claimed_by = ${worker}, claimed_until = now() + make_interval(secs => ${CLAIM_SECONDS})
    WHERE account = ${account} AND told_state <> state AND (claimed_until IS NULL OR claimed_until < now())
    RETURNING kind, state, since, summary, details`
}

/** Ends a claim after the webhook took the message about `state`. */
export async function noteReported(db: Database, account: string, worker: string, told: DueAlert): Promise<void> {
  // Raw SQL: `told_at` is a time of the database's clock.
  await db.$executeRaw`
    UPDATE spidra.alerts
    SET told_state = ${told.state}, told_at = now(), claimed_by = NULL, claimed_until = NULL
    WHERE account = ${account} AND kind = ${told.kind} AND claimed_by = ${worker}`
}

/** Ends a claim without success: the message is due again. */
export async function releaseAlert(db: Database, account: string, worker: string, kind: string): Promise<void> {
  await db.alert.updateMany({
    where: { account, kind, claimedBy: worker },
    data: { claimedBy: null, claimedUntil: null },
  })
}

/** Reads the alerts that are firing, oldest first. */
export async function readFiringAlerts(db: Database, account: string): Promise<readonly FiringAlert[]> {
  return await db.alert.findMany({
    where: { account, state: 'firing' },
    orderBy: [{ since: 'asc' }, { kind: 'asc' }],
    select: { kind: true, since: true, summary: true },
  })
}

/** The failed runs since the last run with a verdict. */
export interface FailureFacts {
  readonly count: number
  /** The last failed run; null when there is none. */
  readonly runId: string | null
  readonly errorCode: string | null
  readonly errorMessage: string | null
}

/** The facts of an account at one instant, from which its alerts are decided. */
export interface AlertFacts {
  /** The instant, by the clock of the database: ISO 8601 with microseconds. */
  readonly asOf: string
  /** Failures that are not refusals. */
  readonly failures: FailureFacts
  /** Failures with 401 or 403: the key is refused, or credits are used up. */
  readonly refusals: FailureFacts
  /** The last of the failures that no longer advanced and was given up; null: there is none. */
  readonly stalled: { readonly runId: string; readonly errorMessage: string } | null
  /** The last run that was complete or partial. */
  readonly verdict: { readonly runId: string; readonly status: string; readonly reason: string | null } | null
  /** ISO 8601; null before the first complete run. */
  readonly lastCompleteAt: string | null
  readonly lagSeconds: number | null
  readonly stuckJobs: number
  /** The uuids of at most five of them, longest without progress first. */
  readonly stuckUuids: readonly string[]
  readonly stuckAfterHours: number
  readonly openRejections: number
}

/** Number of uuids in a message: more would be too long for a chat. */
const UUIDS_NAMED = 5

/** A check must not hold up the service, above all not while it stops. The next check follows soon. */
const STATEMENT_TIMEOUT_MS = 3_000

interface Row extends Omit<AlertFacts, 'failures' | 'refusals' | 'verdict' | 'stalled'> {
  readonly stalledRunId: string | null
  readonly stalledMessage: string | null
  readonly verdictRunId: string | null
  readonly verdictStatus: string | null
  readonly verdictReason: string | null
  readonly failures: number
  readonly failedRunId: string | null
  readonly failedCode: string | null
  readonly failedMessage: string | null
  readonly refusals: number
  readonly refusedRunId: string | null
  readonly refusedCode: string | null
  readonly refusedMessage: string | null
}

/** Reads the facts in one statement, so that they are of one instant. Gives up after three seconds. */
export async function readAlertFacts(db: Database, account: string): Promise<AlertFacts> {
  // Raw SQL: one snapshot over four tables and a view. Aborted runs do not count: someone stopped them.
  const [, rows] = await db.$transaction([
    db.$executeRaw`SELECT set_config('statement_timeout', ${String(STATEMENT_TIMEOUT_MS)}, true)`,
    db.$queryRaw<Row[]>`
      SELECT
        ${isoText('now()')} AS "asOf",
        to_char(s.last_complete_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "lastCompleteAt",
        -- Not greatest(0, ...), which ignores a null: an account that was never complete would have a lag of 0.
        extract(epoch FROM greatest(now(), s.last_complete_at) - s.last_complete_at)::double precision AS "lagSeconds",
        coalesce(s.stuck_after_hours, 0) AS "stuckAfterHours",
        v.id::text AS "verdictRunId", v.status AS "verdictStatus", v.status_reason AS "verdictReason",
        coalesce(f.failures, 0)::integer AS failures, coalesce(f.refusals, 0)::integer AS refusals,
        failed.id::text AS "failedRunId", failed.error_code AS "failedCode", failed.error_message AS "failedMessage",
        refused.id::text AS "refusedRunId", refused.error_code AS "refusedCode",
        refused.error_message AS "refusedMessage",
        stalled.id::text AS "stalledRunId", stalled.error_message AS "stalledMessage",
        stuck.jobs::integer AS "stuckJobs", coalesce(stuck.uuids, '{}') AS "stuckUuids",
        (SELECT coalesce(sum(r.copies), 0)::integer FROM spidra.rejected_jobs r
         WHERE r.account = a.account AND r.resolved_at IS NULL) AS "openRejections"
      FROM (SELECT ${account}::text AS account) a
      LEFT JOIN spidra.sync_state s ON s.account = a.account
      LEFT JOIN LATERAL (
        SELECT r.id, r.status, r.status_reason, r.started_at FROM spidra.sync_runs r
        WHERE r.account = a.account AND r.status IN ('complete', 'partial') ORDER BY r.started_at DESC LIMIT 1
      ) v ON true
      LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE NOT t.is_refusal) AS failures, count(*) FILTER (WHERE t.is_refusal) AS refusals,
          max(t.id) FILTER (WHERE t.error_code = 'stalled') AS stalled_id,
          max(t.id) FILTER (WHERE NOT t.is_refusal) AS failed_id, max(t.id) FILTER (WHERE t.is_refusal) AS refused_id
        FROM (
          SELECT r.id, r.error_code, coalesce(r.error_code IN ('unauthorized', 'forbidden'), false) AS is_refusal
          FROM spidra.sync_runs r
          WHERE r.account = a.account AND r.status = 'failed' AND r.started_at > coalesce(v.started_at, '-infinity')
        ) t
      ) f ON true
      LEFT JOIN spidra.sync_runs failed ON failed.id = f.failed_id
      LEFT JOIN spidra.sync_runs stalled ON stalled.id = f.stalled_id
      LEFT JOIN spidra.sync_runs refused ON refused.id = f.refused_id
      CROSS JOIN LATERAL (
        SELECT count(*) AS jobs,
          (array_agg(j.uuid::text ORDER BY j.seconds_without_progress DESC, j.uuid))[1:${UUIDS_NAMED}::integer] AS uuids
        FROM spidra_reporting.stuck_batch_jobs j WHERE j.account = a.account
      ) stuck`,
  ])
  const [row] = rows
  if (row === undefined) throw new Error('Postgres returned no facts')
  return toFacts(row)
}

function toFacts(row: Row): AlertFacts {
  const { asOf, lastCompleteAt, lagSeconds, stuckJobs, stuckUuids, stuckAfterHours, openRejections } = row
  const { verdictRunId: runId, verdictStatus: status, verdictReason: reason } = row
  return {
    ...{ asOf, lastCompleteAt, lagSeconds, stuckJobs, stuckUuids, stuckAfterHours, openRejections },
    stalled: row.stalledRunId === null ? null : { runId: row.stalledRunId, errorMessage: row.stalledMessage ?? '' },
    verdict: runId === null || status === null ? null : { runId, status, reason },
    failures: {
      count: row.failures,
      runId: row.failedRunId,
      errorCode: row.failedCode,
      errorMessage: row.failedMessage,
    },
    refusals: {
      count: row.refusals,
      runId: row.refusedRunId,
      errorCode: row.refusedCode,
      errorMessage: row.refusedMessage,
    },
  }
}
