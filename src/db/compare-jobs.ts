import type { Database } from './client.js'
import { type JobRow, rowsParameter } from './job-row.js'

/** A field in which the table does not hold what the API lists. All values as text; null is null. */
export interface FieldDifference {
  readonly uuid: string
  /** Column of `spidra.batch_jobs`; `uuid` where the job is not stored at all. */
  readonly field: string
  readonly stored: string | null
  readonly listed: string | null
  /** Whether the job was open when it was stored, or listed as created or finished since the last complete run. */
  readonly mayHaveMoved: boolean
}

/** Compares listed jobs with the table, field by field, as Postgres itself understands the values. Writes nothing. */
export async function compareJobs(
  db: Database,
  account: string,
  rows: readonly JobRow[],
): Promise<readonly FieldDifference[]> {
  return db.$queryRaw<FieldDifference[]>`
    WITH incoming AS (
      SELECT i.* FROM jsonb_to_recordset(${rowsParameter(rows)}::jsonb) AS i(uuid uuid, status text,
        "totalUrls" integer, "completedCount" integer, "failedCount" integer, "outputFormat" text,
        "scrapingChannel" text, "createdAt" timestamptz, "finishedAt" timestamptz, extra text)
    ), last AS (
      SELECT max(s.last_complete_at) AS at FROM spidra.sync_state s WHERE s.account = ${account}
    )
    SELECT i.uuid::text AS uuid, f.field, f.stored, f.listed,
      coalesce(b.status NOT IN ('completed', 'failed', 'cancelled'), false)
        OR i.status NOT IN ('completed', 'failed', 'cancelled')
        OR coalesce(i."finishedAt" >= last.at, false)
        OR coalesce(i."createdAt" >= last.at, last.at IS NULL) AS "mayHaveMoved"
    FROM incoming i CROSS JOIN last
    LEFT JOIN spidra.batch_jobs b ON b.uuid = i.uuid AND b.account = ${account} AND b.removed_at IS NULL
    CROSS JOIN LATERAL (VALUES
      ('uuid', b.uuid::text, i.uuid::text),
      ('status', b.status, i.status),
      ('total_urls', b.total_urls::text, i."totalUrls"::text),
      ('completed_count', b.completed_count::text, i."completedCount"::text),
      ('failed_count', b.failed_count::text, i."failedCount"::text),
      ('output_format', b.output_format, i."outputFormat"),
      ('scraping_channel', b.scraping_channel, i."scrapingChannel"),
      ('created_at', b.created_at::text, i."createdAt"::text),
      ('finished_at', b.finished_at::text, i."finishedAt"::text),
      ('extra', b.extra::text, i.extra::jsonb::text)
    ) AS f(field, stored, listed)
    WHERE f.stored IS DISTINCT FROM f.listed AND (b.uuid IS NOT NULL OR f.field = 'uuid')
    ORDER BY i.uuid, f.field`
}
