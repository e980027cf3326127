import type { ResultsMode } from '../config/config.js'
import { HAS_CHANGED, TERMINAL, toJsonArray } from './batch-jobs.js'
import { type Database, isoText, queryLarge, toColumn } from './client.js'
import { Prisma } from './generated/client.js'
import { fenceOf, RunClosedError, type RunKey } from './sync-runs.js'

/** An ended job whose items are to be read. The fields are those of the job as it is stored now. */
export interface DueBatch {
  readonly uuid: string
  readonly status: string
  readonly completedCount: number
  readonly failedCount: number
  /** ISO 8601 text. */
  readonly finishedAt: string | null
  /** Attempts so far that brought no complete answer. */
  readonly attempts: number
}

/** One item as the table stores it. Timestamps are ISO 8601 text, `extra` is JSON text. */
export interface ItemRow {
  /** Lower case. */
  readonly uuid: string
  readonly position: number
  readonly url: string | null
  readonly status: string
  readonly error: string | null
  readonly creditsUsed: string | null
  readonly jobId: string | null
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly screenshotUrl: string | null
  readonly extra: string | null
  /** Null: the item has no result. Not read with `items`. */
  readonly result: { readonly kind: 'json' | 'text'; readonly text: string } | null
}

/** How a reading ended: see the comment of `spidra.batch_reads.outcome`. */
export type ReadOutcome = 'complete' | 'incomplete' | 'gone' | 'unreadable'

export interface BatchReading {
  readonly outcome: ReadOutcome
  /** Why the outcome is not complete; null when it is. */
  readonly reason: string | null
  readonly items: readonly ItemRow[]
  readonly bytes: number
}

/** What storing a reading did to the tables. */
export interface ItemCounts {
  /** Items inserted or changed. */
  readonly written: number
  readonly results: number
}

/** Stored jobs that one statement compares with `batch_reads`. */
const COMPARED_AT_ONCE = 5_000

/** The due batches of the account of `s`: not those whose job is gone or open again, which are dropped when their turn comes. */
const dueJobs = Prisma.sql`
  SELECT FROM spidra.results_due d JOIN spidra.batch_jobs j ON j.uuid = d.uuid
  WHERE d.account = s.account AND j.account = s.account AND j.removed_at IS NULL AND j.status IN ${TERMINAL}`

/**
 * Records that the run notes ended jobs, and since when all of them had been read. If the run before did not note them,
 * because results were off, or kept less, all stored jobs have to be compared again.
 *
 * @returns whether stored jobs remain to be compared: `noteStored` does.
 */
export async function beginResults(
  db: Database,
  run: RunKey,
  { mode, perRun, intervalMs }: { readonly mode: ResultsMode; readonly perRun: number; readonly intervalMs: number },
): Promise<boolean> {
  // Raw SQL: no model compares two rows in an update.
  const [row] = await db.$queryRaw<{ isCompared: boolean }[]>`
    UPDATE spidra.sync_state s
    SET results_run_id = ${run.id}, results_mode = ${mode}, results_per_run = ${perRun},
      results_interval_ms = ${intervalMs},
      results_noted_to = CASE WHEN b.is_anew THEN NULL ELSE s.results_noted_to END,
      results_noted_uuid = CASE WHEN b.is_anew THEN NULL ELSE s.results_noted_uuid END,
      results_complete_at = CASE
        WHEN b.keeps_more THEN NULL
        WHEN NOT b.is_anew AND s.results_noted_to = '-infinity'
          AND NOT EXISTS (${dueJobs}) THEN s.last_complete_at
        ELSE s.results_complete_at
      END
    FROM (
      SELECT t.keeps_more, t.keeps_more OR t.results_run_id IS NULL OR EXISTS (
        SELECT FROM spidra.sync_runs r
        WHERE r.account = t.account AND r.id > t.results_run_id AND r.id < ${run.id}
      ) AS is_anew
      FROM (
        SELECT account, results_run_id, ${mode} = 'full' AND results_mode IS DISTINCT FROM 'full' AS keeps_more
        FROM spidra.sync_state WHERE account = ${run.account}
      ) t
    ) b
    WHERE s.account = ${run.account}
    RETURNING coalesce(s.results_noted_to = '-infinity', false) AS "isCompared"`
  return row?.isCompared !== true
}

/** Keeps the last verdict as that of which all was read, if nothing is due: later in the same pass something may be. */
export async function noteComplete(db: Database, account: string): Promise<void> {
  // Raw SQL: no model compares two columns in an update.
  await db.$executeRaw`
    UPDATE spidra.sync_state s SET results_complete_at = s.last_complete_at
    WHERE s.account = ${account} AND s.results_noted_to = '-infinity'
      AND s.results_complete_at IS DISTINCT FROM s.last_complete_at
      AND NOT EXISTS (${dueJobs})`
}

/** Records that results are off, so that nothing shows them any more. What is stored stays. */
export async function endResults(db: Database, account: string): Promise<void> {
  await db.syncState.update({ where: { account }, data: { resultsMode: null }, select: { account: true } })
}

/**
 * Compares the next stored jobs, the newest first, with what was read of them, and notes those that are due.
 *
 * @returns how many were noted, and whether all stored jobs have been compared.
 */
export async function noteStored(
  db: Database,
  run: RunKey,
  mode: ResultsMode,
  atOnce: number = COMPARED_AT_ONCE,
): Promise<{ readonly noted: number; readonly isLast: boolean }> {
  // Raw SQL: no model inserts what it selects, or saves the position in the same statement.
  const [row] = await db.$queryRaw<{ noted: number; isLast: boolean }[]>`
    WITH state AS (
      SELECT s.results_noted_to AS noted_to, s.results_noted_uuid AS noted_uuid
      FROM spidra.sync_state s WHERE s.account = ${run.account}
    ),
    ${fenceOf(run)},
    slice AS MATERIALIZED (
      -- Scalar subqueries, so that the position is a condition of the index.
      SELECT j.* FROM spidra.batch_jobs j
      WHERE j.account = ${run.account} AND j.removed_at IS NULL AND EXISTS (SELECT FROM fence)
        AND (j.created_at, j.uuid) < ((SELECT coalesce(s.noted_to, 'infinity') FROM state s),
          (SELECT coalesce(s.noted_uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') FROM state s))
      ORDER BY j.created_at DESC, j.uuid DESC LIMIT ${atOnce}
    ),
    due AS (
      INSERT INTO spidra.results_due AS d (uuid, account, created_at)
      SELECT j.uuid, j.account, j.created_at FROM slice j LEFT JOIN spidra.batch_reads r ON r.uuid = j.uuid
      WHERE j.status IN ${TERMINAL} AND (${HAS_CHANGED} OR (${mode} = 'full' AND NOT r.has_results AND r.outcome <> 'gone'))
      ORDER BY j.uuid
      ON CONFLICT (uuid) DO UPDATE SET account = excluded.account WHERE d.account <> excluded.account
      RETURNING d.uuid
    ),
    oldest AS (
      SELECT j.created_at, j.uuid FROM slice j ORDER BY j.created_at, j.uuid LIMIT 1
    ),
    size AS (SELECT count(*) < ${atOnce} AS is_last FROM slice),
    saved AS (
      UPDATE spidra.sync_state s
      SET results_noted_to = CASE WHEN size.is_last THEN '-infinity' ELSE (SELECT o.created_at FROM oldest o) END,
        results_noted_uuid = CASE WHEN size.is_last THEN NULL ELSE (SELECT o.uuid FROM oldest o) END
      FROM size WHERE s.account = ${run.account} AND EXISTS (SELECT FROM fence)
    )
    SELECT (SELECT count(*) FROM due)::integer AS noted, (SELECT is_last FROM size) AS "isLast"`
  return row ?? { noted: 0, isLast: true }
}

/** Counts the listed jobs that are stored, and the ended ones whose items are to be read: all of them while results are off. */
export async function countUnread(
  db: Database,
  account: string,
  mode: ResultsMode,
): Promise<{ readonly stored: number; readonly unread: number }> {
  // Raw SQL: sums over views. By way of JSON, because a database that is not up to date lacks the column.
  const [row] = await db.$queryRaw<{ stored: number; ended: number; due: number | null }[]>`
    SELECT coalesce(sum(d.jobs), 0)::double precision AS stored,
      coalesce(sum(d.jobs - d.open_jobs), 0)::double precision AS ended,
      (SELECT (to_jsonb(f) ->> 'results_due')::double precision FROM spidra_reporting.sync_freshness f
       WHERE f.account = ${account} AND (${mode} = 'items' OR EXISTS (SELECT FROM spidra.sync_state s
         WHERE s.account = f.account AND to_jsonb(s) ->> 'results_mode' = 'full'))) AS due
    FROM spidra_reporting.daily_batch_jobs d WHERE d.account = ${account}`
  return { stored: row?.stored ?? 0, unread: row?.due ?? row?.ended ?? 0 }
}

/** Reads the due batches of an account that may be asked for now, the newest first. Drops those whose job is open again or gone. */
export async function readDue(db: Database, account: string, most: number): Promise<readonly DueBatch[]> {
  // Raw SQL: a join of two tables, and the time is the database's.
  const rows = await db.$queryRaw<(DueBatch & { isDue: boolean })[]>`
    SELECT d.uuid, coalesce(j.status, '') AS status, j.completed_count AS "completedCount", j.failed_count AS "failedCount",
      ${isoText('j.finished_at')} AS "finishedAt", d.attempts,
      (j.status IN ${TERMINAL} AND j.removed_at IS NULL AND j.account = d.account) IS TRUE AS "isDue"
    FROM spidra.results_due d LEFT JOIN spidra.batch_jobs j ON j.uuid = d.uuid
    WHERE d.account = ${account} AND (d.not_before IS NULL OR d.not_before <= now())
    ORDER BY d.created_at DESC LIMIT ${most}`
  const dropped = rows.filter(({ isDue }) => !isDue).map(({ uuid }) => uuid)
  if (dropped.length > 0) await db.resultDue.deleteMany({ where: { uuid: { in: dropped } } })
  return rows.filter(({ isDue }) => isDue)
}

/** Counts a failed attempt to read a batch, and keeps it due after a pause. */
export async function putOff(db: Database, uuid: string, pauseMs: number): Promise<void> {
  await db.$executeRaw(putOffStatement(uuid, pauseMs))
}

/** Raw SQL: the time is the database's. */
function putOffStatement(uuid: string, pauseMs: number): Prisma.Sql {
  return Prisma.sql`UPDATE spidra.results_due d
  SET attempts = d.attempts + 1, not_before = now() + make_interval(secs => ${pauseMs / 1000})
  WHERE d.uuid = ${uuid}::uuid`
}

/** The fields of an item that a column of their name in snake case holds. */
const ITEM_FIELDS = [
  ...[
    'position',
    'url',
    'status',
    'error',
    'creditsUsed',
    'jobId',
    'startedAt',
    'finishedAt',
    'screenshotUrl',
    'extra',
  ],
] as const satisfies readonly (keyof ItemRow)[]

/** Without the result, which is not read where it is not kept: it may be made only then, and be megabytes. */
const ITEM_KEYS = ['uuid', ...ITEM_FIELDS]

/** `b.position, b.url, ...` of the table or query with this alias; without one, the names alone. */
const columnsOf = (alias?: string) =>
  Prisma.raw(ITEM_FIELDS.map((field) => `${alias === undefined ? '' : `${alias}.`}${toColumn(field)}`).join(', '))

/**
 * Stores what was read of a batch, in one statement: its items, their results, and how it was read. Nothing is written where
 * nothing has changed. Items that an answer no longer has get `removed_at`, unless the answer is incomplete.
 *
 * @param pauseMs the batch stays due, and is asked for again after this time. Null: it is no longer due.
 * @throws RunClosedError when the run is no longer `running`.
 */
export async function storeReading(
  db: Database,
  run: RunKey,
  due: DueBatch,
  reading: BatchReading,
  { mode, pauseMs }: { readonly mode: ResultsMode; readonly pauseMs: number | null },
): Promise<ItemCounts> {
  const { outcome, reason, items, bytes } = reading
  /** The sums of an earlier reading stay where this one brought no items. */
  const hasItems = outcome === 'complete' || outcome === 'incomplete'
  const rows = toJsonArray(items.map((item) => toRowText(item, mode)))
  // Raw SQL: no model can merge several rows of several tables in one statement.
  const [row] = await queryLarge<ItemCounts & { isRunning: boolean }>(
    db,
    Prisma.sql`
WITH ${fenceOf(run)},
incoming AS MATERIALIZED (
  SELECT i.uuid, i.position, i.url, i.status, i.error, i."creditsUsed" AS credits_used, i."jobId" AS job_id,
    i."startedAt" AS started_at, i."finishedAt" AS finished_at, i."screenshotUrl" AS screenshot_url,
    i.extra::jsonb AS extra, i.json::jsonb AS result, i.text AS result_text, i.bytes
  FROM json_to_recordset(${rows}::json) AS i(uuid uuid, position integer, url text, status text, error text,
    "creditsUsed" numeric, "jobId" text, "startedAt" timestamptz, "finishedAt" timestamptz, "screenshotUrl" text,
    extra text, json text, text text, bytes integer)
  WHERE EXISTS (SELECT FROM fence)
),
merged AS (
  INSERT INTO spidra.batch_items AS b (uuid, batch_uuid, account, ${columnsOf()})
  SELECT i.uuid, ${due.uuid}::uuid, ${run.account}, ${columnsOf('i')}
  FROM incoming i LEFT JOIN spidra.batch_items b ON b.uuid = i.uuid
  WHERE b.uuid IS NULL OR b.removed_at IS NOT NULL
    OR (b.batch_uuid, b.account, ${columnsOf('b')}) IS DISTINCT FROM (${due.uuid}::uuid, ${run.account}, ${columnsOf('i')})
  ORDER BY i.uuid
  ON CONFLICT (uuid) DO UPDATE SET batch_uuid = excluded.batch_uuid, account = excluded.account,
    (${columnsOf()}) = (${columnsOf('excluded')}), updated_at = now(), removed_at = NULL
  RETURNING b.uuid
),
gone AS (
  UPDATE spidra.batch_items b SET removed_at = now(), updated_at = now()
  WHERE b.batch_uuid = ${due.uuid}::uuid AND b.removed_at IS NULL AND ${outcome === 'complete'}
    AND EXISTS (SELECT FROM fence) AND NOT EXISTS (SELECT FROM incoming i WHERE i.uuid = b.uuid)
),
results AS (
  INSERT INTO spidra.batch_results AS s (item_uuid, result, result_text, bytes)
  SELECT i.uuid, i.result, i.result_text, i.bytes
  FROM incoming i LEFT JOIN spidra.batch_results s ON s.item_uuid = i.uuid
  WHERE i.bytes IS NOT NULL AND (s.item_uuid IS NULL OR (s.result, s.result_text) IS DISTINCT FROM (i.result, i.result_text))
  ORDER BY i.uuid
  ON CONFLICT (item_uuid) DO UPDATE SET result = excluded.result, result_text = excluded.result_text,
    bytes = excluded.bytes, updated_at = now()
  RETURNING s.item_uuid
),
without_result AS (
  DELETE FROM spidra.batch_results s USING incoming i
  WHERE s.item_uuid = i.uuid AND i.bytes IS NULL AND ${mode === 'full' && outcome === 'complete'}
),
readings AS (
  INSERT INTO spidra.batch_reads AS b (uuid, account, status, completed_count, failed_count, finished_at, outcome, reason, has_results, items, credits, bytes)
  SELECT ${due.uuid}::uuid, ${run.account}, ${due.status}, ${due.completedCount}::integer, ${due.failedCount}::integer,
    ${due.finishedAt}::timestamptz, ${outcome}, ${reason}, ${mode === 'full'}, ${items.length}::integer,
    (SELECT coalesce(sum(i.credits_used), 0) FROM incoming i), ${bytes}::integer
  FROM fence
  ON CONFLICT (uuid) DO UPDATE SET account = excluded.account, status = excluded.status,
    completed_count = excluded.completed_count, failed_count = excluded.failed_count, finished_at = excluded.finished_at,
    outcome = excluded.outcome, reason = excluded.reason, has_results = excluded.has_results,
    items = CASE WHEN ${hasItems} THEN excluded.items ELSE b.items END,
    credits = CASE WHEN ${hasItems} THEN excluded.credits ELSE b.credits END, bytes = excluded.bytes, read_at = now()
),
settled AS (
  ${pauseMs === null ? Prisma.sql`DELETE FROM spidra.results_due d WHERE d.uuid = ${due.uuid}::uuid` : putOffStatement(due.uuid, pauseMs)}
    AND EXISTS (SELECT FROM fence)
)
SELECT (SELECT count(*) FROM merged)::integer AS written, (SELECT count(*) FROM results)::integer AS results, EXISTS (SELECT FROM fence) AS "isRunning"`,
  )
  if (row === undefined || !row.isRunning) throw new RunClosedError(run)
  const { written, results } = row
  return { written, results }
}

/** A result that jsonb refuses is kept as the text of its JSON. */
function toRowText(item: ItemRow, mode: ResultsMode): string {
  if (mode === 'items') return JSON.stringify(item, ITEM_KEYS)
  const { result, ...fields } = item
  if (result === null) return JSON.stringify(fields)
  const isJsonb = result.kind === 'json' && !/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i.test(result.text)
  const bytes = Buffer.byteLength(result.text)
  return JSON.stringify({ ...fields, [isJsonb ? 'json' : 'text']: result.text, bytes })
}
