import { createHash } from 'node:crypto'
import type { Database } from './client.js'
import type { RunKey } from './sync-runs.js'

/** An item that could not be stored as a job. */
export interface RejectedItem {
  /** Lower case; null when it has no readable uuid. */
  readonly uuid: string | null
  /** JSON text, as received. */
  readonly payload: string
  readonly reason: string
}

/** A row of the quarantine as one pass saw it. */
export interface RejectedRow extends RejectedItem {
  /** Sha-256 of the payload, in hex. */
  readonly fingerprint: string
  /** How many such items the pass has met so far; 1 where a uuid tells them apart. */
  readonly copies: number
}

/** The name under which the quarantine knows an item: its uuid, else the fingerprint of its payload. */
export function identityOf(item: RejectedItem): string {
  return item.uuid ?? fingerprintOf(item.payload)
}

/** Sha-256 of the payload, in hex. */
export function fingerprintOf(payload: string): string {
  return createHash('sha256').update(payload).digest('hex')
}

/**
 * Keeps items in `spidra.rejected_jobs`. A row that is there is written again only when its payload or reason changed,
 * when more copies were met, when it had been resolved, or once a day, which leaves its run. Every identity may be given
 * once.
 *
 * Nothing is written once the run is closed.
 */
export async function keepRejectedJobs(db: Database, run: RunKey, rows: readonly RejectedRow[]): Promise<void> {
  if (rows.length === 0) return
  // LATERAL looks up each item in one index of its own. An OR in a join would compare every item with every row.
  await db.$executeRaw`
    WITH incoming AS MATERIALIZED (
      SELECT i.*, r.id, r.last_rejected_at < now() - interval '1 day' AS is_old,
        r.resolved_at IS NOT NULL OR (r.fingerprint, r.reason) <> (i.fingerprint, i.reason)
          OR r.copies < i.copies AS is_changed
      FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        AS i(uuid uuid, fingerprint text, payload text, reason text, copies integer)
      LEFT JOIN LATERAL (
        SELECT u.* FROM spidra.rejected_jobs u WHERE u.account = ${run.account} AND u.uuid = i.uuid
        UNION ALL
        SELECT f.* FROM spidra.rejected_jobs f
        WHERE f.account = ${run.account} AND f.uuid IS NULL AND f.fingerprint = i.fingerprint AND i.uuid IS NULL
      ) r ON true
    ),
    fence AS MATERIALIZED (
      SELECT r.id FROM spidra.sync_runs r
      WHERE r.id = ${run.id} AND r.status = 'running'
        AND EXISTS (SELECT FROM incoming i WHERE i.id IS NULL OR i.is_changed OR i.is_old)
      FOR SHARE
    ),
    rewritten AS (
      UPDATE spidra.rejected_jobs r
      SET fingerprint = i.fingerprint, payload = i.payload, reason = i.reason,
          copies = CASE WHEN r.resolved_at IS NULL THEN greatest(r.copies, i.copies) ELSE i.copies END,
          last_rejected_at = now(), run_id = CASE WHEN i.is_changed THEN ${run.id} ELSE r.run_id END, resolved_at = NULL
      FROM incoming i WHERE r.id = i.id AND (i.is_changed OR i.is_old) AND EXISTS (SELECT FROM fence)
    )
    INSERT INTO spidra.rejected_jobs (account, uuid, fingerprint, payload, reason, copies, run_id)
    SELECT ${run.account}, i.uuid, i.fingerprint, i.payload, i.reason, i.copies, ${run.id}
    FROM incoming i WHERE i.id IS NULL AND EXISTS (SELECT FROM fence)
    ON CONFLICT DO NOTHING`
}

/**
 * Open rejections that stand for a listed item of their own: those of jobs that are stored live do not, the job counts.
 */
export async function countOpenRejections(db: Database, account: string): Promise<number> {
  return (await readOpenRejections(db, account)).unstored
}

/** What is in the quarantine of an account, copies counted. */
export interface OpenRejections {
  /** Listed items of which no version is stored as a live job. */
  readonly unstored: number
  /** Newest versions of live jobs, which are stored as they were before. */
  readonly outdated: number
}

export async function readOpenRejections(db: Database, account: string): Promise<OpenRejections> {
  const [row] = await db.$queryRaw<OpenRejections[]>`
    SELECT coalesce(sum(r.copies) FILTER (WHERE b.uuid IS NULL), 0)::integer AS unstored,
      coalesce(sum(r.copies) FILTER (WHERE b.uuid IS NOT NULL), 0)::integer AS outdated
    FROM spidra.rejected_jobs r
    LEFT JOIN spidra.batch_jobs b ON b.uuid = r.uuid AND b.account = r.account AND b.removed_at IS NULL
    WHERE r.account = ${account} AND r.resolved_at IS NULL`
  return row ?? { unstored: 0, outdated: 0 }
}

/**
 * Whether each of these items without a uuid stands for a listed job of its own: it was in the quarantine already, and
 * has not changed since, when the account was last complete. Any other may be a stored job whose uuid came spoilt; after
 * a day in the quarantine that is no slip any more, and it counts as an item of its own.
 */
export async function areItemsOfTheirOwn(
  db: Database,
  account: string,
  fingerprints: ReadonlySet<string>,
): Promise<boolean> {
  const [row] = await db.$queryRaw<{ known: number }[]>`
    SELECT count(*)::integer AS known FROM spidra.rejected_jobs r
    WHERE r.account = ${account} AND r.uuid IS NULL AND r.resolved_at IS NULL
      AND r.fingerprint = ANY(${[...fingerprints]}::text[])
      AND (
        r.run_id <= (SELECT max(s.id) FROM spidra.sync_runs s WHERE s.account = ${account} AND s.status = 'complete')
        OR NOT EXISTS (
          SELECT FROM spidra.sync_runs s WHERE s.id = r.run_id AND s.started_at > now() - interval '1 day'))`
  return row?.known === fingerprints.size
}

/** Whether the run put something into the quarantine that was not there, or not as it is now. */
export async function hasNewRejections(db: Database, run: RunKey): Promise<boolean> {
  const [row] = await db.$queryRaw<{ found: boolean }[]>`
    SELECT EXISTS (
      SELECT FROM spidra.rejected_jobs r
      WHERE r.account = ${run.account} AND r.resolved_at IS NULL AND r.run_id = ${run.id}) AS found`
  return row?.found ?? false
}

/**
 * Ends the open rejections that a whole pass did not meet again, and sets the copies of the others to what it met.
 *
 * @param met copies by identity, as of the pass.
 */
export async function settleRejectedJobs(db: Database, run: RunKey, met: ReadonlyMap<string, number>): Promise<void> {
  const rows = JSON.stringify([...met].map(([identity, copies]) => ({ identity, copies })))
  await db.$executeRaw`
    WITH due AS MATERIALIZED (
      SELECT r.id, m.copies FROM spidra.rejected_jobs r
      LEFT JOIN jsonb_to_recordset(${rows}::jsonb) AS m(identity text, copies integer)
        ON m.identity = coalesce(r.uuid::text, r.fingerprint)
      WHERE r.account = ${run.account} AND r.resolved_at IS NULL AND m.copies IS DISTINCT FROM r.copies
    ),
    fence AS MATERIALIZED (
      SELECT r.id FROM spidra.sync_runs r
      WHERE r.id = ${run.id} AND r.status = 'running' AND EXISTS (SELECT FROM due)
      FOR SHARE
    )
    UPDATE spidra.rejected_jobs r
    SET resolved_at = CASE WHEN d.copies IS NULL THEN now() END, copies = coalesce(d.copies, r.copies)
    FROM due d WHERE r.id = d.id AND EXISTS (SELECT FROM fence)`
}
