import type { JobRow } from '../../src/db/batch-jobs.js'
import type { Database } from '../../src/db/client.js'
import { type RunEnd, type RunKey, startRun } from '../../src/db/sync-runs.js'
import type { TestDatabase } from './test-database.js'

/** A uuid for each number, in the order of the numbers. */
export function uuidOf(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`
}

/** A running job, with what the test says in place. */
export function jobRow(change: Partial<JobRow> = {}): JobRow {
  return {
    uuid: uuidOf(1),
    status: 'running',
    totalUrls: 10,
    completedCount: 3,
    failedCount: 1,
    outputFormat: 'json',
    scrapingChannel: 'api',
    createdAt: '2026-03-01T12:00:00.123456Z',
    finishedAt: null,
    extra: null,
    ...change,
  }
}

/** Jobs with the uuids 1 to `count`. */
export function jobRows(count: number, change: (number: number) => Partial<JobRow> = () => ({})): JobRow[] {
  return Array.from({ length: count }, (_, i) => jobRow({ uuid: uuidOf(i + 1), ...change(i + 1) }))
}

/** Starts a run, which closes an older one of the account. */
export function openRun(db: Database, account = 'default'): Promise<RunKey> {
  return startRun(db, { account, mode: 'full', trigger: 'manual', worker: 'test:1' })
}

/** Takes the right to write from a run, as another worker would. */
export async function closeRun({ sql }: TestDatabase, run: RunKey): Promise<void> {
  await sql(`UPDATE spidra.sync_runs SET status = 'aborted', finished_at = now() WHERE id = $1`, [run.id])
}

export const RUN_END: RunEnd = {
  status: 'complete',
  requests: 1,
  retries: 2,
  pagesRead: 3,
  seamsRepaired: 4,
  jobsRead: 5,
  inserted: 6,
  updated: 7,
  unchanged: 8,
  removed: 9,
  restored: 10,
  rejected: 11,
  waitedMs: 12,
  listedTotal: 13,
  storedTotal: 14,
  statusReason: null,
  errorCode: null,
  errorMessage: null,
}

/** A job of the table, as the merge would take it. */
export interface StoredJob extends JobRow {
  readonly account: string
  readonly isRemoved: boolean
}

/** The table in the order of the uuids, timestamps in UTC with microseconds. */
export function readJobs({ sql }: TestDatabase): Promise<StoredJob[]> {
  return sql<StoredJob>(`
    SELECT uuid, status, total_urls AS "totalUrls", completed_count AS "completedCount", failed_count AS "failedCount",
      output_format AS "outputFormat", scraping_channel AS "scrapingChannel",
      to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt",
      to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "finishedAt",
      extra::text AS extra, account, removed_at IS NOT NULL AS "isRemoved"
    FROM spidra.batch_jobs ORDER BY uuid`)
}
