import type { Database } from './client.js'
import { Prisma } from './generated/client.js'

/** A stretch of the account by `created_at`: above `after`, up to and with `upTo`. Null: open. ISO 8601 text. */
export interface CreatedRange {
  readonly after: string | null
  readonly upTo: string | null
  /**
   * Of an open upper end: jobs not older than `newest` count only if they were first seen at least `ageMs` ago. A later one may
   * be missing because the answer is older than the job.
   */
  readonly settled: { readonly newest: string; readonly ageMs: number } | null
}

/** Live jobs of the account. */
export async function countLiveJobs(db: Database, account: string): Promise<number> {
  // Prisma's count() puts the rows into a subquery, which keeps Postgres from counting in parallel.
  const [row] = await db.$queryRaw<{ live: number }[]>`
    SELECT count(*)::integer AS live FROM spidra.batch_jobs b WHERE b.account = ${account} AND b.removed_at IS NULL`
  return row?.live ?? 0
}

/** Whether the account has more live jobs than so many; it looks at no more than that, and one. */
export async function hasMoreLiveJobs(db: Database, account: string, than: number): Promise<boolean> {
  const rows = await db.$queryRaw<unknown[]>`
    SELECT FROM spidra.batch_jobs b WHERE b.account = ${account} AND b.removed_at IS NULL OFFSET ${than} LIMIT 1`
  return rows.length > 0
}

/** When the newest live job of the account was created, as ISO 8601 text with microseconds; null when there is none. */
export async function readNewestCreatedAt(db: Database, account: string): Promise<string | null> {
  const [row] = await db.$queryRaw<{ newest: string | null }[]>`
    SELECT to_char(max(b.created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS newest
    FROM spidra.batch_jobs b WHERE b.account = ${account} AND b.removed_at IS NULL`
  return row?.newest ?? null
}

/**
 * How many live jobs of the account are newer than the instant: the place in the list, were it the table.
 *
 * @param gone live jobs that are known to be listed no longer, and do not count.
 */
export async function rankOf(
  db: Database,
  account: string,
  createdAt: string,
  gone: readonly string[] = [],
): Promise<number> {
  const [row] = await db.$queryRaw<{ rank: number }[]>`
    SELECT (count(*) - (
        SELECT count(*) FROM spidra.batch_jobs g
        WHERE g.uuid = ANY(${gone}::uuid[]) AND g.account = ${account} AND g.removed_at IS NULL
          AND g.created_at > ${createdAt}::timestamptz
      ))::integer AS rank
    FROM spidra.batch_jobs b
    WHERE b.account = ${account} AND b.removed_at IS NULL AND b.created_at > ${createdAt}::timestamptz`
  return row?.rank ?? 0
}

/** Live jobs of the account that can still change. */
export async function listOpenUuids(db: Database, account: string): Promise<readonly string[]> {
  const rows = await db.$queryRaw<{ uuid: string }[]>`
    SELECT b.uuid::text AS uuid FROM spidra.batch_jobs b
    WHERE b.account = ${account} AND b.removed_at IS NULL AND b.status NOT IN ('completed', 'failed', 'cancelled')`
  return rows.map(({ uuid }) => uuid)
}

/** An open job, and its place among the live jobs of the account, newest first; 0 is the newest. */
export interface OpenJob {
  readonly uuid: string
  readonly createdAt: string
  readonly rank: number
}

/**
 * The same, newest first, with their ranks. The ranks come from the counts between one open job and the next, so that
 * all of them together cost one look at the index.
 */
export async function listOpenJobs(db: Database, account: string): Promise<readonly OpenJob[]> {
  return db.$queryRaw<OpenJob[]>`
    WITH open AS (
      SELECT b.uuid, b.created_at, lag(b.created_at) OVER (ORDER BY b.created_at DESC, b.uuid) AS above
      FROM spidra.batch_jobs b
      WHERE b.account = ${account} AND b.removed_at IS NULL AND b.status NOT IN ('completed', 'failed', 'cancelled')
    ), counted AS (
      SELECT o.*, (
        SELECT count(*) FROM spidra.batch_jobs b
        WHERE b.account = ${account} AND b.removed_at IS NULL AND b.created_at > o.created_at
          AND b.created_at <= coalesce(o.above, 'infinity')
      ) AS between_them
      FROM open o
    )
    SELECT c.uuid::text AS uuid,
      to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt",
      (sum(c.between_them) OVER (ORDER BY c.created_at DESC, c.uuid))::integer AS rank
    FROM counted c ORDER BY c.created_at DESC, c.uuid`
}

/**
 * Whether one of the uuids is stored: as a live job created after `createdAfter` (null: whenever), or, with null, as an
 * open rejection, which stands for a listed job too.
 */
export async function hasStored(
  db: Database,
  account: string,
  uuids: readonly string[],
  createdAfter: string | null,
): Promise<boolean> {
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

/** Live jobs of the account within the range that are not among `listed`. */
export async function listUnlisted(
  db: Database,
  account: string,
  range: CreatedRange,
  listed: readonly string[],
): Promise<readonly string[]> {
  const rows = await db.$queryRaw<{ uuid: string }[]>`
    SELECT b.uuid::text AS uuid FROM spidra.batch_jobs b
    WHERE b.account = ${account} AND b.removed_at IS NULL ${within(range)}
      AND NOT EXISTS (SELECT FROM unnest(${listed}::uuid[]) AS l(uuid) WHERE l.uuid = b.uuid)`
  return rows.map((row) => row.uuid)
}

/** Only the bounds that are there, so that the index on (account, created_at) serves each of them. */
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
  const [row] = await db.$queryRaw<{ found: boolean }[]>`
    SELECT EXISTS (
      SELECT FROM spidra.batch_jobs b
      WHERE b.account = ${account} AND b.removed_at IS NULL AND b.created_at > ${newest}::timestamptz
        AND NOT ${isSettled(ageMs)} AND b.uuid <> ALL(${listed}::uuid[])) AS found`
  return row?.found ?? false
}
