import { createHash } from 'node:crypto'
import { inPortions, toJsonArray } from './batch-jobs.js'
import { type Database, queryLarge } from './client.js'
import { Prisma } from './generated/client.js'
import type { RunKey } from './sync-runs.js'

/** An item that could not be stored as a job, as one pass saw it. */
export interface RejectedRow {
  /** Lower case; null when it has no readable uuid. */
  readonly uuid: string | null
  /** JSON text, as received. */
  readonly payload: string
  readonly reason: string
  /** SHA-256 of the payload, in hexadecimal. */
  readonly fingerprint: string
  /** Number of such items that the pass has met so far; 1 for an item with a uuid. */
  readonly copies: number
}

/** SHA-256 of the payload, in hexadecimal. It identifies an item without a uuid. */
export function fingerprintOf(payload: string): string {
  return createHash('sha256').update(payload).digest('hex')
}

/**
 * Stores items in `spidra.rejected_jobs`, in statements of at most `mostLength` characters of JSON. An item is identified by its
 * uuid, else by its fingerprint, and may be given once.
 * A row that exists is written again when its payload or reason changed, when more copies were met, or when it had been
 * resolved. Otherwise it is written once a day, and keeps its run.
 *
 * Nothing is written once the run is closed.
 */
export async function keepRejectedJobs(
  db: Database,
  run: RunKey,
  rows: readonly RejectedRow[],
  mostLength?: number,
): Promise<void> {
  for (const { texts } of inPortions(rows, (row) => JSON.stringify(row), mostLength)) {
    await keepPortion(db, run, toJsonArray(texts))
  }
}

async function keepPortion(db: Database, run: RunKey, rows: string): Promise<void> {
  // Raw SQL: one statement for several rows, with the fence. LATERAL finds each item by one of two indexes, where an OR in a
  // join would compare every item with every row.
  const statement = Prisma.sql`
    WITH incoming AS MATERIALIZED (
      SELECT i.*, r.id, r.last_rejected_at < now() - interval '1 day' AS is_old,
        r.resolved_at IS NOT NULL OR (r.fingerprint, r.reason) <> (i.fingerprint, i.reason)
          OR r.copies < i.copies AS is_changed
      FROM jsonb_to_recordset(${rows}::jsonb)
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
  await queryLarge(db, statement)
}

/** Counts the open rejections that count as listed items, copies included. Where the job is stored live, the job counts instead. */
export async function countOpenRejections(db: Database, account: string): Promise<number> {
  return (await readOpenRejections(db, account)).unstored
}

/** The open rejections of an account, copies included. */
export interface OpenRejections {
  /** Listed items of which no version is stored as a live job. */
  readonly unstored: number
  /** Newest versions of live jobs: the table holds an older version. */
  readonly outdated: number
}

/** Counts the open rejections of an account. */
export async function readOpenRejections(db: Database, account: string): Promise<OpenRejections> {
  // Raw SQL: it sums over a join that the models do not have.
  const [row] = await db.$queryRaw<OpenRejections[]>`
    SELECT coalesce(sum(r.copies) FILTER (WHERE b.uuid IS NULL), 0)::integer AS unstored,
      coalesce(sum(r.copies) FILTER (WHERE b.uuid IS NOT NULL), 0)::integer AS outdated
    FROM spidra.rejected_jobs r
    LEFT JOIN spidra.batch_jobs b ON b.uuid = r.uuid AND b.account = r.account AND b.removed_at IS NULL
    WHERE r.account = ${account} AND r.resolved_at IS NULL`
  return row ?? { unstored: 0, outdated: 0 }
}

/**
 * Whether each of these items without a uuid counts as a listed job.
 *
 * It does when it was in the quarantine, unchanged, at the last complete run. A newer item may be a stored job whose uuid was
 * damaged on the way, and would be counted twice. After a day in the quarantine it counts too.
 */
export async function countAsListedJobs(
  db: Database,
  account: string,
  fingerprints: ReadonlySet<string>,
): Promise<boolean> {
  // Raw SQL: it compares with the last complete run, and by the database's clock.
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

/** Whether the run stored a rejection that was new or had changed. */
export async function hasNewRejections(db: Database, run: RunKey): Promise<boolean> {
  const where = { account: run.account, resolvedAt: null, runId: run.id }
  return (await db.rejectedJob.findFirst({ where, select: { id: true } })) !== null
}

/**
 * Resolves the open rejections that a whole pass did not meet, and sets the copies of the others to the number that it met.
 * Nothing is written once the run is closed.
 *
 * @param met copies by identity: the uuid, else the fingerprint.
 */
export async function settleRejectedJobs(db: Database, run: RunKey, met: ReadonlyMap<string, number>): Promise<void> {
  const rows = JSON.stringify([...met].map(([identity, copies]) => ({ identity, copies })))
  // Raw SQL: one statement for several rows, with the fence.
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
