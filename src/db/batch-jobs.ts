import { type Database, PREPARED, queryLarge, toColumn } from './client.js'
import { readPostgresError } from './connection-error.js'
import { Prisma } from './generated/client.js'
import { fenceOf, RunClosedError, type RunKey } from './sync-runs.js'

/** A job as the table stores it. Timestamps are ISO 8601 text, which keeps the microseconds; `extra` is JSON text. */
export interface JobRow {
  /** Lower case. */
  readonly uuid: string
  readonly status: string
  readonly totalUrls: number
  readonly completedCount: number
  readonly failedCount: number
  readonly outputFormat: string | null
  readonly scrapingChannel: string | null
  readonly createdAt: string
  readonly finishedAt: string | null
  readonly extra: string | null
}

/** The Postgres type of each field that a merge compares and writes. The column has the field's name in snake case. */
const FIELD_TYPES = {
  status: 'text',
  totalUrls: 'integer',
  completedCount: 'integer',
  failedCount: 'integer',
  outputFormat: 'text',
  scrapingChannel: 'text',
  createdAt: 'timestamptz',
  finishedAt: 'timestamptz',
  extra: 'jsonb',
} as const satisfies Readonly<Record<Exclude<keyof JobRow, 'uuid'>, string>>

/** A job with one of these statuses does not change any more, unless it is opened again. The views name the same three. */
export const TERMINAL_STATUSES = ['completed', 'failed', 'cancelled'] as const

/** The same as SQL text, not as parameters, so that Postgres can use the partial index on open jobs. */
export const TERMINAL = Prisma.raw(`(${TERMINAL_STATUSES.map((status) => `'${status}'`).join(', ')})`)

const COLUMNS = Object.entries(FIELD_TYPES).map(([field, type]) => ({ field, type, column: toColumn(field) }))

/** One SQL text a column, joined by commas. Static: it holds names and types of columns, never a value. */
function forEachColumn(write: (column: { field: string; type: string; column: string }) => string): Prisma.Sql {
  return Prisma.raw(COLUMNS.map(write).join(', '))
}

/** `b.status, b.total_urls, ...` of the table or query with this alias. */
const columnsOf = (alias: string) => forEachColumn(({ column }) => `${alias}.${column}`)

/** Reads rows from JSON. `extra` is JSON text inside of JSON: as `json` its numbers would lose digits in JavaScript. */
const RECORD = Prisma.sql`i(uuid uuid, ${forEachColumn(({ field, type }) => `"${field}" ${type === 'jsonb' ? 'text' : type}`)})`
const RECORD_COLUMNS = Prisma.sql`i.uuid, ${forEachColumn(({ field, type, column }) => `i."${field}"::${type} AS ${column}`)}`

/** A row as JSON text. Leaves out other properties that the object has, and not by a list of keys, which takes twice as long. */
function toRowText(row: JobRow): string {
  return JSON.stringify({
    uuid: row.uuid,
    status: row.status,
    totalUrls: row.totalUrls,
    completedCount: row.completedCount,
    failedCount: row.failedCount,
    outputFormat: row.outputFormat,
    scrapingChannel: row.scrapingChannel,
    createdAt: row.createdAt,
    finishedAt: row.finishedAt,
    extra: row.extra,
  } satisfies JobRow)
}

/** Default for the most characters of JSON in one statement: what a driver, a proxy and Postgres handle in copies. */
const STATEMENT_LENGTH = 2 * 1024 * 1024

/** Rows of one statement, and their JSON texts, one parameter for all of them. */
export interface Portion<Row> {
  readonly rows: readonly Row[]
  readonly texts: readonly string[]
}

export const toJsonArray = (texts: readonly string[]): string => `[${texts.join(',')}]`

/** Divides rows into statements of at most `mostLength` characters of JSON. A row that is longer stands alone. */
export function* inPortions<Row>(
  rows: readonly Row[],
  toText: (row: Row) => string,
  mostLength: number = STATEMENT_LENGTH,
): Generator<Portion<Row>> {
  let portion: Row[] = []
  let texts: string[] = []
  let length = 0
  for (const row of rows) {
    const text = toText(row)
    if (portion.length > 0 && length + text.length > mostLength) {
      yield { rows: portion, texts }
      portion = []
      texts = []
      length = 0
    }
    portion.push(row)
    texts.push(text)
    length += text.length
  }
  if (portion.length > 0) yield { rows: portion, texts }
}

/** What a merge did to the table. A restored row is not counted as updated. */
export interface MergeCounts {
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly restored: number
  /** Updated rows whose `created_at` changed. */
  readonly redated: number
}

/** A row that Postgres cannot store, and why. */
export interface RefusedRow<Row extends JobRow> {
  readonly row: Row
  readonly reason: string
}

export interface MergeOutcome<Row extends JobRow> extends MergeCounts {
  readonly refused: readonly RefusedRow<Row>[]
}

const NOTHING_MERGED = { inserted: 0, updated: 0, unchanged: 0, restored: 0, redated: 0, refused: [] }

/**
 * Merges rows into `spidra.batch_jobs`, writes their change events and resolves their rejections, in one statement for each
 * `mostLength` characters of JSON, in the order of the rows. An unchanged row is not touched: no lock, no WAL. Of several rows
 * with one uuid the last counts.
 *
 * A row that Postgres refuses does not keep the others out: its portion is halved until that row stands alone.
 *
 * @throws RunClosedError when the run is no longer `running`; what Prisma throws when the database fails.
 */
export async function mergeJobs<Row extends JobRow>(
  db: Database,
  run: RunKey,
  rows: readonly Row[],
  { mostLength, notesDue = false }: { readonly mostLength?: number; readonly notesDue?: boolean } = {},
): Promise<MergeOutcome<Row>> {
  let outcome: MergeOutcome<Row> = NOTHING_MERGED
  const unique = [...new Map(rows.map((row) => [row.uuid, row])).values()]
  for (const portion of inPortions(unique, toRowText, mostLength)) {
    outcome = add(outcome, await mergePortion(db, run, portion, notesDue))
  }
  return outcome
}

async function mergePortion<Row extends JobRow>(
  db: Database,
  run: RunKey,
  { rows, texts }: Portion<Row>,
  notesDue: boolean,
): Promise<MergeOutcome<Row>> {
  try {
    return {
      ...(await mergeChunk(db, run, rows.length, mergeStatement(toJsonArray(texts), run, notesDue))),
      refused: [],
    }
  } catch (error) {
    const reason = refusalOf(error)
    if (reason === null) throw error
    const [first, ...others] = rows
    if (first !== undefined && others.length === 0) return { ...NOTHING_MERGED, refused: [{ row: first, reason }] }
    const middle = rows.length >> 1
    const part = (from: number, to?: number) => ({ rows: rows.slice(from, to), texts: texts.slice(from, to) })
    return add(
      await mergePortion(db, run, part(0, middle), notesDue),
      await mergePortion(db, run, part(middle), notesDue),
    )
  }
}

function add<Row extends JobRow>(one: MergeOutcome<Row>, other: MergeOutcome<Row>): MergeOutcome<Row> {
  return {
    inserted: one.inserted + other.inserted,
    updated: one.updated + other.updated,
    unchanged: one.unchanged + other.unchanged,
    restored: one.restored + other.restored,
    redated: one.redated + other.redated,
    refused: [...one.refused, ...other.refused],
  }
}

async function mergeChunk(db: Database, run: RunKey, rows: number, statement: Prisma.Sql): Promise<MergeCounts> {
  // Raw SQL: no model can merge several rows, their events and their rejections in one statement.
  const [result] = await queryLarge<MergeResult>(db, statement)
  if (result === undefined || !result.isRunning) throw new RunClosedError(run)
  const { inserted, updated, restored, redated, changed } = result
  return { inserted, updated, restored, redated, unchanged: rows - changed }
}

/** SQLSTATE class 22 (the year 0, NUL in JSON) and 54 (nested too deeply): values that JSON allows and Postgres does not. */
export function refusalOf(error: unknown): string | null {
  const refusal = readPostgresError(error)
  if (refusal === null || !/^(22|54)/.test(refusal.code)) return null
  return `Postgres refused it (SQLSTATE ${refusal.code}): ${refusal.message}`
}

/** The one row of counts that the merge statement returns. */
interface MergeResult {
  readonly inserted: number
  readonly updated: number
  readonly restored: number
  readonly redated: number
  readonly changed: number
  /** False when there was something to write, but the run is closed. */
  readonly isRunning: boolean
}

/** Whether a job `j` differs from what its items were last read as, `r`. */
export const HAS_CHANGED = Prisma.raw(
  '(r.status, r.completed_count, r.failed_count, r.finished_at) IS DISTINCT FROM (j.status, j.completed_count, j.failed_count, j.finished_at)',
)

/**
 * The part of the merge that notes ended jobs whose items are to be read, as CTEs after `inserted` and `updated`. A job that is
 * noted already begins anew.
 */
function noteDue(account: string): Prisma.Sql {
  return Prisma.sql`
merged AS (
  SELECT uuid FROM inserted UNION ALL SELECT uuid FROM updated
),
due AS (
  INSERT INTO spidra.results_due AS d (uuid, account, created_at)
  SELECT j.uuid, ${account}, j.created_at
  FROM changed j JOIN merged m ON m.uuid = j.uuid
  LEFT JOIN LATERAL (SELECT * FROM spidra.batch_reads x WHERE x.uuid = j.uuid LIMIT 1) r ON true
  WHERE j.status IN ${TERMINAL} AND ${HAS_CHANGED}
  ORDER BY j.uuid
  ON CONFLICT (uuid) DO UPDATE SET account = excluded.account, created_at = excluded.created_at, attempts = 0, not_before = NULL
),`
}

/**
 * The merge of one chunk. One statement, so that jobs, change events and resolved rejections are written together or not
 * at all.
 *
 * `changed` is an anti-join: the IS DISTINCT FROM of ON CONFLICT alone would still lock every unchanged row and write
 * 700 bytes of WAL for it. `fence` locks the run's row against closing, and only where there is something to write,
 * because a row lock is a write too. ORDER BY uuid gives all writers one lock order.
 * Listeners on `spidra_batch_job_events` get the number of events, once a statement.
 *
 * New rows are inserted without ON CONFLICT, which would look each of them up once more and write 50 bytes of WAL to confirm it.
 * If another writer stores one of them at the same moment, the statement fails as a whole, `withRetries` repeats it, and it
 * finds the row.
 *
 * The lookups are LATERAL with LIMIT 1, because the plan is kept: it may have been made while the table was empty, and a
 * join of that plan would scan the whole table for each chunk.
 *
 * @param rows JSON text of an array of `JobRow`, every uuid once.
 * @param notesDue whether ended jobs are noted whose items are to be read. Without it the statement does not name that table.
 */
export function mergeStatement(rows: string, { account, id: runId }: RunKey, notesDue = false): Prisma.Sql {
  return Prisma.sql`${PREPARED}
WITH incoming AS MATERIALIZED (
  SELECT ${RECORD_COLUMNS} FROM json_to_recordset(${rows}::json) AS ${RECORD}
),
changed AS MATERIALIZED (
  SELECT i.*, b.uuid IS NOT NULL AS known, b.account AS from_account, b.removed_at IS NOT NULL AS was_removed, b.created_at AS from_created_at,
         b.status AS from_status, b.completed_count AS from_completed_count, b.failed_count AS from_failed_count
  FROM incoming i LEFT JOIN LATERAL (SELECT * FROM spidra.batch_jobs x WHERE x.uuid = i.uuid LIMIT 1) b ON true
  WHERE b.uuid IS NULL
     OR b.removed_at IS NOT NULL
     OR (b.account, ${columnsOf('b')}) IS DISTINCT FROM (${account}, ${columnsOf('i')})
),
settled AS MATERIALIZED (
  SELECT r.id FROM spidra.rejected_jobs r JOIN incoming i ON i.uuid = r.uuid
  WHERE r.account = ${account} AND r.resolved_at IS NULL
),
fence AS MATERIALIZED (
  SELECT r.id FROM spidra.sync_runs r
  WHERE r.id = ${runId} AND r.status = 'running' AND (EXISTS (SELECT FROM changed) OR EXISTS (SELECT FROM settled))
  FOR SHARE
),
inserted AS (
  INSERT INTO spidra.batch_jobs (uuid, account, ${forEachColumn(({ column }) => column)})
  SELECT c.uuid, ${account}, ${columnsOf('c')}
  FROM changed c WHERE NOT c.known AND EXISTS (SELECT FROM fence) ORDER BY c.uuid
  RETURNING uuid
),
updated AS (
  INSERT INTO spidra.batch_jobs AS b (uuid, account, ${forEachColumn(({ column }) => column)})
  SELECT c.uuid, ${account}, ${columnsOf('c')}
  FROM changed c WHERE c.known AND EXISTS (SELECT FROM fence) ORDER BY c.uuid
  ON CONFLICT (uuid) DO UPDATE SET
    account = excluded.account, ${forEachColumn(({ column }) => `${column} = excluded.${column}`)},
    updated_at = now(), removed_at = NULL
  WHERE b.removed_at IS NOT NULL
     OR (b.account, ${columnsOf('b')}) IS DISTINCT FROM (excluded.account, ${columnsOf('excluded')})
  RETURNING b.uuid
),
observed AS (
  SELECT c.*, CASE
    WHEN c.from_account <> ${account} THEN 'moved'
    WHEN c.was_removed THEN 'restored'
    WHEN c.from_status IN ${TERMINAL} AND c.status NOT IN ${TERMINAL} THEN 'reopened'
    WHEN c.from_status <> c.status THEN 'status_changed'
    WHEN (c.from_completed_count, c.from_failed_count) <> (c.completed_count, c.failed_count) THEN 'progressed'
  END AS kind
  FROM changed c JOIN updated u ON u.uuid = c.uuid
),
events AS (
  INSERT INTO spidra.batch_job_events (uuid, account, run_id, kind, from_status, to_status, from_completed_count,
    to_completed_count, from_failed_count, to_failed_count)
  SELECT o.uuid, ${account}, ${runId}, o.kind, o.from_status, o.status, o.from_completed_count, o.completed_count,
    o.from_failed_count, o.failed_count
  FROM observed o WHERE o.kind IS NOT NULL ORDER BY o.uuid
  RETURNING id
),
${notesDue ? noteDue(account) : Prisma.empty}resolved AS (
  UPDATE spidra.rejected_jobs r SET resolved_at = now() FROM settled s
  WHERE r.id = s.id AND EXISTS (SELECT FROM fence)
)
SELECT
  (SELECT count(*) FROM inserted)::integer AS inserted,
  (SELECT count(*) FROM observed o WHERE NOT o.was_removed)::integer AS updated,
  (SELECT count(*) FROM observed o WHERE o.was_removed)::integer AS restored,
  (SELECT count(*) FROM observed o WHERE NOT o.was_removed AND o.from_created_at <> o.created_at)::integer AS redated,
  (SELECT count(*) FROM changed)::integer AS changed,
  (SELECT pg_notify('spidra_batch_job_events', count(*)::text) FROM events HAVING count(*) > 0)::text AS notified,
  EXISTS (SELECT FROM fence) OR NOT (EXISTS (SELECT FROM changed) OR EXISTS (SELECT FROM settled)) AS "isRunning"`
}

/**
 * Marks live jobs of the account as no longer listed, and writes their change events, in one statement.
 *
 * `fence` and ORDER BY uuid are those of the merge. FOR UPDATE reads a job again that another writer had locked: it may
 * have moved to another account.
 *
 * @returns the number of jobs marked; 0 once the run is closed.
 */
export async function markRemoved(db: Database, run: RunKey, uuids: readonly string[]): Promise<number> {
  if (uuids.length === 0) return 0
  // Raw SQL: no model has the fence, the lock order, or the events in the same statement.
  const [row] = await db.$queryRaw<{ removed: number }[]>`
    WITH ${fenceOf(run)},
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

/** A field whose value in the table is not the one that the API lists. All values are text, or null. */
export interface FieldDifference {
  readonly uuid: string
  /** Column of `spidra.batch_jobs`; `uuid` where the job is not stored at all. */
  readonly field: string
  readonly stored: string | null
  readonly listed: string | null
  /** Whether the job was open when it was stored, is listed as created or finished since the last complete run, or was written since. */
  readonly mayHaveMoved: boolean
}

/**
 * Compares listed jobs with the table, field by field, as Postgres understands the values. Writes nothing.
 *
 * @param since when the first of the jobs were asked for, by the clock of the database: a run may have written newer ones.
 */
export async function compareJobs(
  db: Database,
  account: string,
  rows: readonly JobRow[],
  since: Date,
): Promise<readonly FieldDifference[]> {
  const differences: FieldDifference[] = []
  for (const { texts } of inPortions(rows, toRowText)) {
    differences.push(...(await comparePortion(db, account, toJsonArray(texts), since)))
  }
  return differences
}

function comparePortion(db: Database, account: string, json: string, since: Date): Promise<FieldDifference[]> {
  // Raw SQL: Postgres itself decides whether two values are the same instant or the same JSON.
  const statement = Prisma.sql`
    WITH incoming AS (
      SELECT ${RECORD_COLUMNS} FROM json_to_recordset(${json}::json) AS ${RECORD}
    ), last AS (
      SELECT least(max(s.last_complete_at), ${since}::timestamptz) AS at FROM spidra.sync_state s WHERE s.account = ${account}
    )
    SELECT i.uuid::text AS uuid, f.field, f.stored, f.listed,
      coalesce(b.status NOT IN ${TERMINAL}, false) OR i.status NOT IN ${TERMINAL}
        OR coalesce(i.finished_at >= last.at, false)
        OR coalesce(i.created_at >= last.at, last.at IS NULL)
        OR coalesce((SELECT x.updated_at >= ${since}::timestamptz FROM spidra.batch_jobs x WHERE x.uuid = i.uuid), false)
        AS "mayHaveMoved"
    FROM incoming i CROSS JOIN last
    LEFT JOIN spidra.batch_jobs b ON b.uuid = i.uuid AND b.account = ${account} AND b.removed_at IS NULL
    CROSS JOIN LATERAL (VALUES
      ('uuid', b.uuid::text, i.uuid::text),
      ${forEachColumn(({ column }) => `('${column}', b.${column}::text, i.${column}::text)`)}
    ) AS f(field, stored, listed)
    WHERE f.stored IS DISTINCT FROM f.listed AND (b.uuid IS NOT NULL OR f.field = 'uuid')
    ORDER BY i.uuid, f.field`
  return queryLarge<FieldDifference>(db, statement)
}
