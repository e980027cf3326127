import { Prisma } from './generated/client.js'

/** What the merge statement returns: one row of counts. `allowed` is false when there was something to write, but the run is closed. */
export interface MergeResult {
  readonly inserted: number
  readonly updated: number
  readonly restored: number
  readonly redated: number
  readonly changed: number
  readonly allowed: boolean
}

/**
 * The merge of one chunk as one statement, so that jobs, change events and resolved rejections stand or fall together.
 *
 * `changed` is an anti-join: the DISTINCT guard of ON CONFLICT alone would still lock every unchanged row and write
 * 700 bytes of WAL for it. `fence` locks the run's row against closing, and only where there is something to write,
 * because a row lock is a write too. ORDER BY uuid gives all writers one lock order. `xmax = 0` tells an insert.
 * Listeners on `spidra_batch_job_events` hear the number of events, once a statement.
 *
 * @param rows JSON text of an array of `JobRow`, every uuid once.
 */
export function mergeStatement(rows: string, account: string, runId: bigint): Prisma.Sql {
  return Prisma.sql`
WITH incoming AS MATERIALIZED (
  SELECT i.uuid, i.status, i."totalUrls" AS total_urls, i."completedCount" AS completed_count,
         i."failedCount" AS failed_count, i."outputFormat" AS output_format, i."scrapingChannel" AS scraping_channel,
         i."createdAt" AS created_at, i."finishedAt" AS finished_at, i.extra::jsonb AS extra
  FROM json_to_recordset(${rows}::json) AS i(uuid uuid, status text, "totalUrls" integer, "completedCount" integer,
         "failedCount" integer, "outputFormat" text, "scrapingChannel" text, "createdAt" timestamptz,
         "finishedAt" timestamptz, extra text)
),
changed AS MATERIALIZED (
  SELECT i.*, b.uuid IS NOT NULL AS known, b.account AS from_account, b.removed_at IS NOT NULL AS was_removed, b.created_at AS from_created_at,
         b.status AS from_status, b.completed_count AS from_completed_count, b.failed_count AS from_failed_count
  FROM incoming i LEFT JOIN spidra.batch_jobs b ON b.uuid = i.uuid
  WHERE b.uuid IS NULL
     OR b.removed_at IS NOT NULL
     OR (b.account, b.status, b.total_urls, b.completed_count, b.failed_count, b.output_format, b.scraping_channel,
         b.created_at, b.finished_at, b.extra)
        IS DISTINCT FROM
        (${account}, i.status, i.total_urls, i.completed_count, i.failed_count, i.output_format, i.scraping_channel,
         i.created_at, i.finished_at, i.extra)
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
merged AS (
  INSERT INTO spidra.batch_jobs AS b (uuid, account, status, total_urls, completed_count, failed_count, output_format,
    scraping_channel, created_at, finished_at, extra)
  SELECT c.uuid, ${account}, c.status, c.total_urls, c.completed_count, c.failed_count, c.output_format,
    c.scraping_channel, c.created_at, c.finished_at, c.extra
  FROM changed c WHERE EXISTS (SELECT FROM fence) ORDER BY c.uuid
  ON CONFLICT (uuid) DO UPDATE SET
    account = excluded.account, status = excluded.status, total_urls = excluded.total_urls,
    completed_count = excluded.completed_count, failed_count = excluded.failed_count,
    output_format = excluded.output_format, scraping_channel = excluded.scraping_channel,
    created_at = excluded.created_at, finished_at = excluded.finished_at, extra = excluded.extra,
    updated_at = now(), removed_at = NULL
  WHERE b.removed_at IS NOT NULL
     OR (b.account, b.status, b.total_urls, b.completed_count, b.failed_count, b.output_format, b.scraping_channel,
         b.created_at, b.finished_at, b.extra)
        IS DISTINCT FROM
        (excluded.account, excluded.status, excluded.total_urls, excluded.completed_count, excluded.failed_count,
         excluded.output_format, excluded.scraping_channel, excluded.created_at, excluded.finished_at, excluded.extra)
  RETURNING b.uuid, b.xmax = 0 AS inserted
),
observed AS (
  SELECT c.*, CASE
    WHEN c.from_account <> ${account} THEN 'moved'
    WHEN c.was_removed THEN 'restored'
    WHEN c.from_status IN ('completed', 'failed', 'cancelled')
     AND c.status NOT IN ('completed', 'failed', 'cancelled') THEN 'reopened'
    WHEN c.from_status <> c.status THEN 'status_changed'
    WHEN (c.from_completed_count, c.from_failed_count) <> (c.completed_count, c.failed_count) THEN 'progressed'
  END AS kind
  FROM changed c JOIN merged m ON m.uuid = c.uuid
  WHERE c.known
),
events AS (
  INSERT INTO spidra.batch_job_events (uuid, account, run_id, kind, from_status, to_status, from_completed_count,
    to_completed_count, from_failed_count, to_failed_count)
  SELECT o.uuid, ${account}, ${runId}, o.kind, o.from_status, o.status, o.from_completed_count, o.completed_count,
    o.from_failed_count, o.failed_count
  FROM observed o WHERE o.kind IS NOT NULL ORDER BY o.uuid
  RETURNING id
),
resolved AS (
  UPDATE spidra.rejected_jobs r SET resolved_at = now() FROM settled s
  WHERE r.id = s.id AND EXISTS (SELECT FROM fence)
)
SELECT
  (SELECT count(*) FROM merged m WHERE m.inserted)::integer AS inserted,
  (SELECT count(*) FROM observed o WHERE NOT o.was_removed)::integer AS updated,
  (SELECT count(*) FROM observed o WHERE o.was_removed)::integer AS restored,
  (SELECT count(*) FROM observed o WHERE NOT o.was_removed AND o.from_created_at <> o.created_at)::integer AS redated,
  (SELECT count(*) FROM changed)::integer AS changed,
  (SELECT pg_notify('spidra_batch_job_events', count(*)::text) FROM events HAVING count(*) > 0)::text AS notified,
  EXISTS (SELECT FROM fence) OR NOT (EXISTS (SELECT FROM changed) OR EXISTS (SELECT FROM settled)) AS allowed`
}
