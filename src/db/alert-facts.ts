import type { Database } from './client.js'

/** Failed runs since the last one that came to a verdict. */
export interface FailureFacts {
  readonly count: number
  /** The last of them; null when there is none. */
  readonly runId: string | null
  readonly errorCode: string | null
  readonly errorMessage: string | null
}

/** What alerts are decided on: an account at one instant. */
export interface AlertFacts {
  /** That instant, by the clock of the database: ISO 8601 with microseconds. */
  readonly asOf: string
  /** Failures that are not refusals. */
  readonly failures: FailureFacts
  /** Failures with 401 or 403: the key is refused, or credits are used up. */
  readonly refusals: FailureFacts
  /** The last run that was complete or partial. */
  readonly verdict: { readonly runId: string; readonly status: string; readonly reason: string | null } | null
  /** ISO 8601; null before the first complete run. */
  readonly lastCompleteAt: string | null
  readonly lagSeconds: number | null
  readonly stuckJobs: number
  /** Of some of them, longest without progress first. */
  readonly stuckUuids: readonly string[]
  readonly stuckAfterHours: number
  readonly openRejections: number
}

/** As many uuids as a chat message can bear. */
const UUIDS_NAMED = 5

/** A check is not worth a longer wait, least of all while the service stops; the next one comes soon. */
const STATEMENT_TIMEOUT_MS = 3_000

interface Row extends Omit<AlertFacts, 'failures' | 'refusals' | 'verdict'> {
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

/** Reads the facts in one statement, so that they belong together. Gives up after three seconds. */
export async function readAlertFacts(db: Database, account: string): Promise<AlertFacts> {
  // Aborted runs count neither way: someone stopped them.
  const [, rows] = await db.$transaction([
    db.$executeRaw`SELECT set_config('statement_timeout', ${String(STATEMENT_TIMEOUT_MS)}, true)`,
    db.$queryRaw<Row[]>`
      SELECT
        to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "asOf",
        to_char(s.last_complete_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "lastCompleteAt",
        -- Not greatest(0, ...), which passes over a null: what was never complete would be perfectly fresh.
        extract(epoch FROM greatest(now(), s.last_complete_at) - s.last_complete_at)::double precision AS "lagSeconds",
        coalesce(s.stuck_after_hours, 0) AS "stuckAfterHours",
        v.id::text AS "verdictRunId", v.status AS "verdictStatus", v.status_reason AS "verdictReason",
        coalesce(f.failures, 0)::integer AS failures, coalesce(f.refusals, 0)::integer AS refusals,
        failed.id::text AS "failedRunId", failed.error_code AS "failedCode", failed.error_message AS "failedMessage",
        refused.id::text AS "refusedRunId", refused.error_code AS "refusedCode",
        refused.error_message AS "refusedMessage",
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
          max(t.id) FILTER (WHERE NOT t.is_refusal) AS failed_id, max(t.id) FILTER (WHERE t.is_refusal) AS refused_id
        FROM (
          SELECT r.id, coalesce(r.error_code IN ('unauthorized', 'forbidden'), false) AS is_refusal
          FROM spidra.sync_runs r
          WHERE r.account = a.account AND r.status = 'failed' AND r.started_at > coalesce(v.started_at, '-infinity')
        ) t
      ) f ON true
      LEFT JOIN spidra.sync_runs failed ON failed.id = f.failed_id
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
