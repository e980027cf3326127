import type { Database } from './client.js'
import type { RunKey } from './sync-runs.js'

/**
 * Marks live jobs of the account as no longer listed, with their change events, in one statement.
 *
 * `fence` and ORDER BY uuid are those of the merge. FOR UPDATE looks again at a job that another writer held: it may
 * have moved to another account.
 *
 * @returns how many were marked; 0 once the run is closed.
 */
export async function markRemoved(db: Database, run: RunKey, uuids: readonly string[]): Promise<number> {
  if (uuids.length === 0) return 0
  const [row] = await db.$queryRaw<{ removed: number }[]>`
    WITH fence AS MATERIALIZED (
      SELECT r.id FROM spidra.sync_runs r WHERE r.id = ${run.id} AND r.status = 'running' FOR SHARE
    ),
    gone AS MATERIALIZED (
      SELECT b.uuid FROM spidra.batch_jobs b
      WHERE b.uuid = ANY(${uuids}::uuid[]) AND b.account = ${run.account} AND b.removed_at IS NULL
        AND EXISTS (SELECT FROM fence)
      ORDER BY b.uuid FOR UPDATE
    ),
    marked AS (
      UPDATE spidra.batch_jobs b SET removed_at = now(), updated_at = now() FROM gone g WHERE b.uuid = g.uuid
      RETURNING b.uuid, b.status, b.completed_count, b.failed_count
    ),
    events AS (
      INSERT INTO spidra.batch_job_events (uuid, account, run_id, kind, from_status, to_status, from_completed_count,
        to_completed_count, from_failed_count, to_failed_count)
      SELECT m.uuid, ${run.account}, ${run.id}, 'removed', m.status, m.status, m.completed_count, m.completed_count,
        m.failed_count, m.failed_count
      FROM marked m ORDER BY m.uuid
      RETURNING id
    )
    SELECT (SELECT count(*) FROM marked)::integer AS removed,
      (SELECT pg_notify('spidra_batch_job_events', count(*)::text) FROM events HAVING count(*) > 0)::text AS notified`
  return row?.removed ?? 0
}
