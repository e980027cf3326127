/* A day has a row for each channel and format that its jobs have, and not for those of all other days: with 20,000 of them the
   view had 12 million rows. */
CREATE OR REPLACE VIEW spidra_reporting.daily_batch_jobs AS
WITH totals AS (
  SELECT t.account, t.day, t.scraping_channel, t.output_format, t.jobs, t.succeeded_jobs, t.partly_failed_jobs,
    t.failed_jobs, t.cancelled_jobs, t.open_jobs, t.urls, t.completed_urls, t.failed_urls,
    t.p50_duration_seconds, t.p95_duration_seconds, t.max_duration_seconds
  FROM spidra.daily_totals t
  WHERE NOT EXISTS (SELECT FROM spidra.stale_days s WHERE s.account = t.account AND s.day = t.day)
  UNION ALL
  SELECT t.account, t.day, t.scraping_channel, t.output_format, t.jobs, t.succeeded_jobs, t.partly_failed_jobs,
    t.failed_jobs, t.cancelled_jobs, t.open_jobs, t.urls, t.completed_urls, t.failed_urls,
    t.p50_duration_seconds, t.p95_duration_seconds, t.max_duration_seconds
  FROM spidra.stale_totals t
),
-- Gaps are filled for ten years and up to today: one job dated to the year 1 or 9999 must not add a million days.
days AS (
  SELECT t.account, t.day FROM totals t
  UNION
  SELECT span.account, d.day::date
  FROM (
    SELECT t.account, min(t.day) AS first, (now() AT TIME ZONE 'UTC')::date AS today FROM totals t GROUP BY t.account
  ) span
  CROSS JOIN LATERAL generate_series(greatest(span.first, span.today - 3653)::timestamp, span.today::timestamp, '1 day')
    AS d(day)
)
SELECT
  d.day,
  d.account,
  t.scraping_channel,
  t.output_format,
  coalesce(t.jobs, 0) AS jobs,
  coalesce(t.succeeded_jobs, 0) AS succeeded_jobs,
  coalesce(t.partly_failed_jobs, 0) AS partly_failed_jobs,
  coalesce(t.failed_jobs, 0) AS failed_jobs,
  coalesce(t.cancelled_jobs, 0) AS cancelled_jobs,
  coalesce(t.open_jobs, 0) AS open_jobs,
  coalesce(t.urls, 0) AS urls,
  coalesce(t.completed_urls, 0) AS completed_urls,
  coalesce(t.failed_urls, 0) AS failed_urls,
  t.completed_urls::double precision / nullif(t.completed_urls + t.failed_urls, 0) AS success_rate,
  t.p50_duration_seconds,
  t.p95_duration_seconds,
  t.max_duration_seconds
FROM days d
LEFT JOIN totals t ON t.account = d.account AND t.day = d.day;

COMMENT ON VIEW spidra_reporting.daily_batch_jobs IS 'One row for each UTC day, account, channel and format with jobs. A day without jobs has one row of zeros, whose channel and format are null, from the account''s first day to today (ten years at most). A job counts on the day it was created.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.scraping_channel IS 'Where the batches were submitted, such as api or playground. Null: the API told none, or the day has no jobs.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.output_format IS 'Format of the results, such as json or markdown. Null: the API told none, or the day has no jobs.';
