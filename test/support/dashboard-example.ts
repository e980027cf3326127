import type { TestDatabase } from './test-database.js'

/** What a job or a server could send to harm a reader of the page. */
export const HOSTILE = `</td><script>alert("x")</script><img src=http://evil.test/x onerror=alert(1)> ' style="color:red" \u202e`

/**
 * Forty days of some 60 jobs a day, a day of runs, open and stuck jobs, changes and rejections; the same every time but
 * for the clock. Nothing in it is random.
 */
export async function fillDashboard({ sql, db }: TestDatabase): Promise<void> {
  await sql(`
    INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, output_format,
      scraping_channel, created_at, finished_at, first_seen_at, updated_at)
    SELECT md5('job' || d || '.' || i)::uuid,
      CASE WHEN i % 17 = 3 THEN 'failed' WHEN i % 29 = 5 THEN 'cancelled' ELSE 'completed' END, 10 + i % 40,
      CASE WHEN i % 17 = 3 THEN 0 WHEN i % 5 = 1 THEN 8 + i % 40 - (d % 3) ELSE 10 + i % 40 END,
      CASE WHEN i % 17 = 3 THEN 4 WHEN i % 5 = 1 THEN 2 + (d % 3) ELSE 0 END,
      'json', CASE WHEN i % 4 = 0 THEN 'playground' WHEN i % 31 = 1 THEN NULL ELSE 'api' END, t,
      t + make_interval(secs => 20 + (i * 37 + d * 11) % 240 + CASE WHEN i % 13 = 0 THEN 300 ELSE 0 END), t, t
    FROM generate_series(1, 40) d, generate_series(1, 60) i
    CROSS JOIN LATERAL (SELECT date_trunc('day', now(), 'UTC') - make_interval(days => d, mins => -i * 23) AS t) at
    WHERE i <= 30 + (d * 7) % 31 AND d NOT IN (12, 13)`)
  await sql(`
    INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, scraping_channel,
      created_at, first_seen_at, updated_at)
    SELECT md5('open' || i)::uuid, CASE WHEN i % 3 = 0 THEN 'pending' ELSE 'running' END, 20 * i,
      CASE WHEN i % 3 = 0 THEN 0 ELSE 7 * i END, i % 3, 'api', t, t, greatest(t, now() - make_interval(mins => i))
    FROM generate_series(1, 8) i CROSS JOIN LATERAL (SELECT now() - make_interval(mins => i * 9) AS t) at`)
  await sql(
    `INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, scraping_channel,
       created_at, first_seen_at, updated_at)
     SELECT md5('stuck' || i)::uuid, CASE i WHEN 1 THEN $1 ELSE 'running' END, 50, 12, 1, $1, t, t, t + interval '1 hour'
     FROM generate_series(1, 2) i CROSS JOIN LATERAL (SELECT now() - make_interval(hours => 9 * i) AS t) at`,
    [HOSTILE],
  )
  await sql(`
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, started_at, finished_at, heartbeat_at, requests, retries,
      pages_read, jobs_read, inserted, updated, unchanged, listed_total, stored_total, status_reason, error_code,
      error_message, worker)
    SELECT 'default', CASE WHEN i = 200 THEN 'full' ELSE 'incremental' END, 'schedule',
      CASE WHEN i = 90 THEN 'failed' WHEN i IN (40, 41) THEN 'partial' WHEN i = 150 THEN 'aborted' ELSE 'complete' END,
      t, t + make_interval(secs => 0.4 + requests * 0.05), t, requests, CASE WHEN i % 50 = 0 THEN 3 ELSE 0 END, requests,
      requests * 50, i % 4, i % 3, 40, 1800, 1800, CASE WHEN i IN (40, 41) THEN 'list_moving' END,
      CASE WHEN i = 90 THEN 'timeout' END, CASE WHEN i = 90 THEN 'Spidra did not answer in 30 s.' END, 'host:1'
    FROM generate_series(1, 260) i
    CROSS JOIN LATERAL (SELECT now() - make_interval(mins => i * 5, secs => -285) AS t,
      CASE WHEN i = 200 THEN 37 WHEN i % 12 = 0 THEN 21 ELSE 1 + i % 3 END AS requests) at`)
  await sql(`
    INSERT INTO spidra.sync_state (account, is_whole, last_complete_at, reread_since, next_run_at, rate_limit,
      rate_remaining, rate_reset_at)
    VALUES ('default', true, now() - interval '14 seconds', now() - interval '9 hours', now() + interval '286 seconds',
      300, 287, now() + interval '11 minutes')`)
  await sql(`
    INSERT INTO spidra.batch_job_events (uuid, account, run_id, observed_at, kind, from_status, to_status)
    SELECT md5('job1.' || i)::uuid, 'default', 1, now() - make_interval(mins => i * 6),
      CASE WHEN i = 4 THEN 'reopened' ELSE 'status_changed' END, CASE WHEN i = 4 THEN 'completed' ELSE 'running' END,
      CASE WHEN i = 4 THEN 'pending' ELSE 'completed' END
    FROM generate_series(1, 20) i`)
  await sql(
    `INSERT INTO spidra.rejected_jobs (account, uuid, fingerprint, payload, reason, run_id)
     VALUES ('default', md5('r')::uuid, 'a', '{}', 'totalUrls: must be a number', 1), ('default', NULL, 'b', '[]', $1, 1)`,
    [HOSTILE],
  )
  await db.$queryRaw`SELECT spidra.keep_stale_days('default')`
}

/** The results of these jobs, as far as they have been read: the oldest are still due. One URL has a hostile host and error. */
export async function fillResults({ sql }: TestDatabase): Promise<void> {
  await sql(`
    INSERT INTO spidra.results_due (uuid, account, created_at)
    SELECT uuid, account, created_at FROM spidra.batch_jobs
    WHERE account = 'default' AND finished_at IS NOT NULL AND created_at < now() - interval '20 days';
    INSERT INTO spidra.batch_reads (uuid, account, status, completed_count, failed_count, finished_at, outcome, has_results, items, credits)
    SELECT uuid, account, status, completed_count, failed_count, finished_at, 'complete', false, total_urls, 1.25 * completed_count
    FROM spidra.batch_jobs j
    WHERE account = 'default' AND finished_at IS NOT NULL AND NOT EXISTS (SELECT FROM spidra.results_due d WHERE d.uuid = j.uuid);
    INSERT INTO spidra.batch_items (uuid, batch_uuid, account, position, url, status, error, credits_used, finished_at)
    SELECT md5(j.uuid || '.' || n)::uuid, j.uuid, 'default', n,
      'https://' || (ARRAY['slow.example.com', 'guarded.example.org', 'gone.example.net', 'catalogue.northern-branch.example.co.uk'])[1 + h % 4] || '/' || n,
      'failed', (ARRAY['Navigation timeout of 30000 ms exceeded', 'HTTP 403 Forbidden', 'net::ERR_NAME_NOT_RESOLVED', 'Captcha could not be solved'])[1 + h % 4],
      0, j.finished_at
    FROM spidra.batch_jobs j JOIN spidra.batch_reads r USING (uuid)
    CROSS JOIN LATERAL generate_series(1, j.failed_count) n CROSS JOIN LATERAL (SELECT ('x' || substr(md5(j.uuid || '.' || n), 1, 4))::bit(16)::integer AS h) x;
    UPDATE spidra.sync_state SET results_mode = 'items', results_per_run = 50, results_interval_ms = 300000, results_noted_to = '-infinity' WHERE account = 'default'`)
  await sql(
    `INSERT INTO spidra.batch_items (uuid, batch_uuid, account, position, url, status, error, finished_at)
     SELECT md5('hostile')::uuid, uuid, 'default', 0, 'https://' || $1, 'failed', $1, now() FROM spidra.batch_reads LIMIT 1`,
    [HOSTILE],
  )
}
