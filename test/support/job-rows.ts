import type { JobRow } from '../../src/db/batch-jobs.js'
import type { Database } from '../../src/db/client.js'
import { startRun } from '../../src/db/run-lease.js'
import type { RunEnd, RunKey } from '../../src/db/sync-runs.js'
import type { Account } from '../../src/simulator/account.js'
import type { TestDatabase } from './test-database.js'

/** Returns a uuid for a number; uuids sort as their numbers do. */
export function uuidOf(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`
}

/** A running job, with the given fields changed. */
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

/** Starts a run. It closes an older one of the account. */
export async function openRun(db: Database, account = 'default'): Promise<RunKey> {
  const run = await startRun(db, { account, mode: 'full', trigger: 'manual', worker: 'test:1' }, 0)
  if (run === null) throw new Error(`another worker runs account ${account}`)
  return run
}

/** Closes a run, as another worker would, so that it can no longer write. */
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

/** A job as stored in the table. */
export interface StoredJob extends JobRow {
  readonly account: string
  readonly isRemoved: boolean
}

/** Reads the table in the order of the uuids, timestamps in UTC with microseconds. */
export function readJobs({ sql }: TestDatabase): Promise<StoredJob[]> {
  return sql<StoredJob>(`
    SELECT uuid, status, total_urls AS "totalUrls", completed_count AS "completedCount", failed_count AS "failedCount",
      output_format AS "outputFormat", scraping_channel AS "scrapingChannel",
      to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt",
      to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "finishedAt",
      extra::text AS extra, account, removed_at IS NOT NULL AS "isRemoved"
    FROM spidra.batch_jobs ORDER BY uuid`)
}

/** Compares every field of every listed job with the table. Returns the differences. Neither may change meanwhile. */
export async function compareWithList(database: TestDatabase, account: Account): Promise<readonly string[]> {
  const stored = new Map((await readJobs(database)).filter((job) => !job.isRemoved).map((job) => [job.uuid, job]))
  const listed = account.list({ page: 1, limit: account.total }).jobs
  const differences = listed.flatMap((job) => {
    const row = stored.get(job.uuid)
    if (row === undefined) return [`${job.uuid} is listed and not stored`]
    const { status, totalUrls, completedCount, failedCount, outputFormat, scrapingChannel } = job
    const one = { status, totalUrls, completedCount, failedCount, outputFormat, scrapingChannel, ...instantsOf(job) }
    const fields = Object.entries(one).filter(([name, value]) => ({ ...row, ...instantsOf(row) })[name] !== value)
    return fields.map(([name, value]) => `${job.uuid} is listed with ${name} ${value}`)
  })
  const extra = stored.size - listed.length
  return extra > 0 ? [...differences, `${extra} are stored and not listed`] : differences
}

/** Compares instants in milliseconds: the texts may differ in their offset and number of digits. */
function instantsOf(job: { readonly createdAt: string; readonly finishedAt: string | null }): Record<string, unknown> {
  return {
    createdAt: Date.parse(job.createdAt),
    finishedAt: job.finishedAt === null ? null : Date.parse(job.finishedAt),
  }
}
