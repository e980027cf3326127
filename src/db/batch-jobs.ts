import type { Database } from './client.js'
import { type JobRow, rowsParameter } from './job-row.js'
import { type MergeResult, mergeStatement } from './merge-statement.js'
import { readPostgresError } from './sql-state.js'
import { RunClosedError, type RunKey } from './sync-runs.js'

/** What a merge did to the table. A restored row is not counted as updated. */
export interface MergeCounts {
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly restored: number
  /** Of the updated, those whose `created_at` is another one now. */
  readonly redated: number
}

/** A row that Postgres cannot hold, and why. */
export interface RefusedRow<Row extends JobRow> {
  readonly row: Row
  readonly reason: string
}

export interface MergeOutcome<Row extends JobRow> extends MergeCounts {
  readonly refused: readonly RefusedRow<Row>[]
}

/**
 * Merges rows into `spidra.batch_jobs`, writes their change events and resolves their rejections, all in one statement.
 * An unchanged row is not touched: no lock, no WAL. Of a uuid given twice the last row counts.
 *
 * A row that Postgres cannot hold does not keep the others out: the chunk is halved until the guilty row stands alone.
 *
 * @throws RunClosedError when the run is no longer `running`; what Prisma throws when the database fails.
 */
export async function mergeJobs<Row extends JobRow>(
  db: Database,
  run: RunKey,
  rows: readonly Row[],
): Promise<MergeOutcome<Row>> {
  const unique = [...new Map(rows.map((row) => [row.uuid, row])).values()]
  if (unique.length === 0) return { inserted: 0, updated: 0, unchanged: 0, restored: 0, redated: 0, refused: [] }
  try {
    return { ...(await mergeChunk(db, run, unique)), refused: [] }
  } catch (error) {
    const reason = refusalOf(error)
    if (reason === null) throw error
    return halve(db, run, unique, reason)
  }
}

async function halve<Row extends JobRow>(
  db: Database,
  run: RunKey,
  rows: readonly Row[],
  reason: string,
): Promise<MergeOutcome<Row>> {
  const [guilty, ...others] = rows
  if (guilty !== undefined && others.length === 0) {
    return { inserted: 0, updated: 0, unchanged: 0, restored: 0, redated: 0, refused: [{ row: guilty, reason }] }
  }
  const middle = rows.length >> 1
  const upper = await mergeJobs(db, run, rows.slice(0, middle))
  const lower = await mergeJobs(db, run, rows.slice(middle))
  return {
    inserted: upper.inserted + lower.inserted,
    updated: upper.updated + lower.updated,
    unchanged: upper.unchanged + lower.unchanged,
    restored: upper.restored + lower.restored,
    redated: upper.redated + lower.redated,
    refused: [...upper.refused, ...lower.refused],
  }
}

async function mergeChunk(db: Database, run: RunKey, rows: readonly JobRow[]): Promise<MergeCounts> {
  const [result] = await db.$queryRaw<MergeResult[]>(mergeStatement(rowsParameter(rows), run.account, run.id))
  if (result === undefined || !result.allowed) throw new RunClosedError(run)
  const { inserted, updated, restored, redated, changed } = result
  return { inserted, updated, restored, redated, unchanged: rows.length - changed }
}

/** SQLSTATE class 22 (the year 0, NUL in JSON) and 54 (nested too deeply): valid on the wire, not for Postgres. */
function refusalOf(error: unknown): string | null {
  const refusal = readPostgresError(error)
  if (refusal === null || !/^(22|54)/.test(refusal.code)) return null
  return `Postgres refused it (SQLSTATE ${refusal.code}): ${refusal.message}`
}
