import { TIMING } from '../config/scale.js'
import { TERMINAL_STATUSES } from './batch-jobs.js'
import { type Database, isoText } from './client.js'
import { Prisma } from './generated/client.js'

/** A range of `created_at`: later than `after`, up to and including `upTo`. Null: no limit. ISO 8601 text. */
export interface CreatedRange {
  readonly after: string | null
  readonly upTo: string | null
  /**
   * For a range without `upTo`: a job that is not older than `newest` counts only if it was first seen at least `ageMs` ago.
   * A later job may be missing because the answer is older than the job.
   */
  readonly settled: { readonly newest: string; readonly ageMs: number } | null
}

/** Counts the live jobs of the account. */
export async function countLiveJobs(db: Database, account: string): Promise<number> {
  // Raw SQL: Prisma's count() uses a subquery, which keeps Postgres from counting in parallel.
  const [row] = await db.$queryRaw<{ live: number }[]>`
    SELECT count(*)::integer AS live FROM spidra.batch_jobs b WHERE b.account = ${account} AND b.removed_at IS NULL`
  return row?.live ?? 0
}

/** Whether the account has more than `than` live jobs. Reads at most one row more than that. */
export async function hasMoreLiveJobs(db: Database, account: string, than: number): Promise<boolean> {
  // Raw SQL: Prisma sorts all rows before it skips some.
  const rows = await db.$queryRaw<unknown[]>`
    SELECT FROM spidra.batch_jobs b WHERE b.account = ${account} AND b.removed_at IS NULL OFFSET ${than} LIMIT 1`
  return rows.length > 0
}

/** When the newest live job of the account was created, as ISO 8601 text with microseconds; null when there is none. */
export async function readNewestCreatedAt(db: Database, account: string): Promise<string | null> {
  return readCreatedAt(db, account, isoText('max(b.created_at)'))
}

/** When the oldest live job of the account was created, as ISO 8601 text; null: none is stored. */
export async function readOldestCreatedAt(db: Database, account: string): Promise<string | null> {
  return readCreatedAt(db, account, isoText('min(b.created_at)'))
}

async function readCreatedAt(db: Database, account: string, which: Prisma.Sql): Promise<string | null> {
  // Raw SQL: a Date would drop the microseconds.
  const [row] = await db.$queryRaw<{ createdAt: string | null }[]>`
    SELECT ${which} AS "createdAt"
    FROM spidra.batch_jobs b WHERE b.account = ${account} AND b.removed_at IS NULL`
  return row?.createdAt ?? null
}

/** What a rank counts. */
interface RankOptions {
  /** Uuids of live jobs that are known to be no longer listed; they do not count. Default: none. */
  readonly gone?: readonly string[]
  /** Only jobs that are not newer than this instant count, which is faster. Default: all that are newer than the other one. */
  readonly upTo?: string | null
}

/** Counts the live jobs of the account that are newer than the instant: its place in the list, if the list equals the table. */
export async function rankOf(
  db: Database,
  account: string,
  createdAt: string,
  { gone = [], upTo = null }: RankOptions = {},
): Promise<number> {
  const range = within({ after: createdAt, upTo, settled: null })
  // Raw SQL: a rank.
  const [row] = await db.$queryRaw<{ rank: number }[]>`
    SELECT (count(*) - (
        SELECT count(*) FROM spidra.batch_jobs b
        WHERE b.uuid = ANY(${gone}::uuid[]) AND b.account = ${account} AND b.removed_at IS NULL ${range}
      ))::integer AS rank
    FROM spidra.batch_jobs b
    WHERE b.account = ${account} AND b.removed_at IS NULL ${range}`
  return row?.rank ?? 0
}

/**
 * Lists the uuids of the live jobs of the account that are likely to change: the open ones, and the young ones that failed, were
 * cancelled or have failures. Failed items may be retried, and items in progress end after their job was cancelled.
 *
 * @param youngSince jobs that were created later are young.
 */
export async function listOpenUuids(db: Database, account: string, youngSince: Date): Promise<readonly string[]> {
  const live = { account, removedAt: null }
  const select = { uuid: true } as const
  const open = await db.batchJob.findMany({ where: { ...live, status: { notIn: [...TERMINAL_STATUSES] } }, select })
  const young = await db.batchJob.findMany({
    where: {
      ...{ ...live, createdAt: { gt: youngSince }, status: { in: [...TERMINAL_STATUSES] } },
      OR: [{ status: { not: 'completed' } }, { failedCount: { gt: 0 } }],
    },
    select,
  })
  return [...open, ...young].map(({ uuid }) => uuid)
}

/** A job, and its place among the live jobs of the account, newest first; 0 is the newest. */
export interface RankedJob {
  readonly uuid: string
  readonly createdAt: string
  readonly rank: number
}

/**
 * Ranks the live jobs of the account among `uuids`, newest first. The ranks are sums of the counts between one of them and the
 * next, so that all of them together read the index once.
 */
export async function rankJobs(db: Database, account: string, uuids: readonly string[]): Promise<readonly RankedJob[]> {
  // Raw SQL: ranks and windows.
  return db.$queryRaw<RankedJob[]>`
    WITH asked AS (
      SELECT b.uuid, b.created_at, lag(b.created_at) OVER (ORDER BY b.created_at DESC, b.uuid) AS above
      FROM spidra.batch_jobs b
      WHERE b.account = ${account} AND b.removed_at IS NULL AND b.uuid = ANY(${uuids}::uuid[])
    ), counted AS (
      SELECT a.*, (
        SELECT count(*) FROM spidra.batch_jobs b
        WHERE b.account = ${account} AND b.removed_at IS NULL AND b.created_at > a.created_at
          AND b.created_at <= coalesce(a.above, 'infinity')
      ) AS between_them
      FROM asked a
    )
    SELECT c.uuid::text AS uuid,
      ${isoText('c.created_at')} AS "createdAt",
      (sum(c.between_them) OVER (ORDER BY c.created_at DESC, c.uuid))::integer AS rank
    FROM counted c ORDER BY c.created_at DESC, c.uuid`
}

/** Counts the pages of `limit` jobs below the first on which the next run would read open jobs, if the list equals the table. */
export async function countOpenPages(db: Database, account: string, limit: number): Promise<number> {
  const uuids = await listOpenUuids(db, account, new Date(Date.now() - TIMING.youngMs))
  const jobs = await rankJobs(db, account, uuids)
  return new Set(jobs.map(({ rank }) => Math.floor(rank / limit)).filter((page) => page > 0)).size
}

/**
 * Whether one of the uuids is stored as a live job that was created after `createdAfter`. Null: created at any time, and then an
 * open rejection with one of the uuids counts too.
 */
export async function hasStored(
  db: Database,
  account: string,
  uuids: readonly string[],
  createdAfter: string | null,
): Promise<boolean> {
  // Raw SQL: one statement over two tables, and microseconds.
  const [row] = await db.$queryRaw<{ found: boolean }[]>`
    SELECT EXISTS (
      SELECT FROM spidra.batch_jobs b
      WHERE b.uuid = ANY(${uuids}::uuid[]) AND b.account = ${account} AND b.removed_at IS NULL
        AND (${createdAfter}::timestamptz IS NULL OR b.created_at > ${createdAfter}::timestamptz)
    ) OR (${createdAfter}::timestamptz IS NULL AND EXISTS (
      SELECT FROM spidra.rejected_jobs r
      WHERE r.uuid = ANY(${uuids}::uuid[]) AND r.account = ${account} AND r.resolved_at IS NULL
    )) AS found`
  return row?.found ?? false
}

/** Lists the live jobs of the account within the range that are not among `listed`. */
export async function listUnlisted(
  db: Database,
  account: string,
  range: CreatedRange,
  listed: readonly string[],
): Promise<readonly string[]> {
  // Raw SQL: microseconds, the database's clock, and thousands of uuids as one parameter.
  const rows = await db.$queryRaw<{ uuid: string }[]>`
    SELECT b.uuid::text AS uuid FROM spidra.batch_jobs b
    WHERE b.account = ${account} AND b.removed_at IS NULL ${within(range)}
      AND NOT EXISTS (SELECT FROM unnest(${listed}::uuid[]) AS l(uuid) WHERE l.uuid = b.uuid)`
  return rows.map((row) => row.uuid)
}

/** Contains only the limits that are set, so that Postgres can use the index on (account, created_at) for each of them. */
function within({ after, upTo, settled }: CreatedRange): Prisma.Sql {
  const above = after === null ? Prisma.empty : Prisma.sql`AND b.created_at > ${after}::timestamptz`
  const below = upTo === null ? Prisma.empty : Prisma.sql`AND b.created_at <= ${upTo}::timestamptz`
  const seen =
    settled === null
      ? Prisma.empty
      : Prisma.sql`AND (b.created_at < ${settled.newest}::timestamptz OR ${isSettled(settled.ageMs)})`
  return Prisma.sql`${above} ${below} ${seen}`
}

function isSettled(ageMs: number): Prisma.Sql {
  return Prisma.sql`b.first_seen_at <= now() - make_interval(secs => ${ageMs / 1000})`
}

/** Whether a live job of the account that is not `listed` is newer than `newest`, and was first seen less than `ageMs` ago. */
export async function hasFreshJobAbove(
  db: Database,
  account: string,
  newest: string,
  ageMs: number,
  listed: readonly string[],
): Promise<boolean> {
  // Raw SQL: microseconds and the database's clock.
  const [row] = await db.$queryRaw<{ found: boolean }[]>`
    SELECT EXISTS (
      SELECT FROM spidra.batch_jobs b
      WHERE b.account = ${account} AND b.removed_at IS NULL AND b.created_at > ${newest}::timestamptz
        AND NOT ${isSettled(ageMs)} AND b.uuid <> ALL(${listed}::uuid[])) AS found`
  return row?.found ?? false
}
