-- The views of spidra_reporting, and what they need to answer fast. Later versions change a view by CREATE OR REPLACE
-- only: dropped and made anew it would lose the rights that readers were given.

ALTER TABLE spidra.sync_state ADD COLUMN stuck_after_hours double precision NOT NULL DEFAULT 6;
COMMENT ON COLUMN spidra.sync_state.stuck_after_hours IS 'Hours without progress after which an open job counts as stuck: STUCK_AFTER_HOURS of the last run.';

-- Jobs --------------------------------------------------------------------------------------------------------------
--
-- No view here calls a function of our own: a function runs, and looks for its tables, with the rights of who asks.

CREATE VIEW spidra_reporting.batch_jobs AS
SELECT
  b.uuid,
  b.account,
  b.status,
  o.outcome,
  b.status NOT IN ('completed', 'failed', 'cancelled') AS is_open,
  b.status IN ('completed', 'failed', 'cancelled') AS is_terminal,
  o.outcome = 'partly_failed' AS is_partial_failure,
  b.total_urls,
  b.completed_count,
  b.failed_count,
  -- As bigint: two counts together may exceed an integer.
  greatest(0, b.total_urls::bigint - b.completed_count - b.failed_count)::integer AS pending_count,
  b.completed_count::double precision / nullif(b.completed_count::bigint + b.failed_count, 0) AS success_rate,
  b.output_format,
  b.scraping_channel,
  b.created_at,
  (b.created_at AT TIME ZONE 'UTC')::date AS created_date,
  b.finished_at,
  extract(epoch FROM b.finished_at - b.created_at)::double precision AS duration_seconds,
  extract(epoch FROM now() - b.created_at)::double precision AS age_seconds,
  b.first_seen_at,
  b.updated_at
FROM spidra.batch_jobs b
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN b.status NOT IN ('completed', 'failed', 'cancelled') THEN 'open'
    WHEN b.status <> 'completed' THEN b.status
    WHEN b.failed_count = 0 THEN 'succeeded'
    WHEN b.completed_count = 0 THEN 'failed'
    ELSE 'partly_failed'
  END AS outcome
) o
WHERE b.removed_at IS NULL;

COMMENT ON VIEW spidra_reporting.batch_jobs IS 'One row for each batch job that the Spidra API lists.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.uuid IS 'Id of the batch job, given by Spidra.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.account IS 'Spidra account that the job belongs to, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.status IS 'Status by the API: pending, running, completed, failed or cancelled; other words are possible and count as open.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.outcome IS 'How the job ended: succeeded (every finished URL worked), partly_failed (some did), failed (none did, or the job failed), cancelled; open: it has not ended.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.is_open IS 'True while the job is pending or running.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.is_terminal IS 'True when the job is completed, failed or cancelled. It can be opened again by a retry.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.is_partial_failure IS 'True when the job completed with some of its URLs failed.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.total_urls IS 'Number of URLs in the batch.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.completed_count IS 'Number of URLs scraped successfully.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.failed_count IS 'Number of URLs that failed.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.pending_count IS 'Number of URLs neither completed nor failed. Above zero in a cancelled job too.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.success_rate IS 'Completed URLs by finished ones, 0 to 1. Null: none has finished.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.output_format IS 'Format of the results, such as json or markdown. Null: the API told none.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.scraping_channel IS 'Where the batch was submitted, such as api or playground. Null: the API told none.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.created_at IS 'When the batch was submitted.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.created_date IS 'The UTC day of created_at.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.finished_at IS 'When the batch ended. Null: it has not ended, or runs again.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.duration_seconds IS 'Seconds from created_at to finished_at, waiting in the queue included. Null: not finished.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.age_seconds IS 'Seconds from created_at until now.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.first_seen_at IS 'When spidra-sync first stored the job.';
COMMENT ON COLUMN spidra_reporting.batch_jobs.updated_at IS 'When spidra-sync last saw a change in the job.';

-- Days ---------------------------------------------------------------------------------------------------------------
--
-- A million jobs aggregated by day take half a second, with exact percentiles more. So finished days are kept. A day
-- whose jobs changed is stale, and is aggregated live until it is kept anew, so that the view is exact at any moment.

CREATE TABLE spidra.daily_totals (
  id                   bigint           GENERATED BY DEFAULT AS IDENTITY,
  account              text             NOT NULL,
  day                  date             NOT NULL,
  scraping_channel     text,
  output_format        text,
  jobs                 bigint           NOT NULL,
  succeeded_jobs       bigint           NOT NULL,
  partly_failed_jobs   bigint           NOT NULL,
  failed_jobs          bigint           NOT NULL,
  cancelled_jobs       bigint           NOT NULL,
  open_jobs            bigint           NOT NULL,
  urls                 bigint           NOT NULL,
  completed_urls       bigint           NOT NULL,
  failed_urls          bigint           NOT NULL,
  p50_duration_seconds double precision,
  p95_duration_seconds double precision,
  max_duration_seconds double precision,
  CONSTRAINT daily_totals_pkey PRIMARY KEY (id)
);

CREATE INDEX daily_totals_account_day_idx ON spidra.daily_totals (account, day);

COMMENT ON TABLE spidra.daily_totals IS 'Kept sums behind spidra_reporting.daily_batch_jobs: one row for each account, day, channel and format. Rows of days in stale_days are out of date.';
COMMENT ON COLUMN spidra.daily_totals.id IS 'Number of the row.';
COMMENT ON COLUMN spidra.daily_totals.account IS 'Spidra account, by its name in the configuration.';
COMMENT ON COLUMN spidra.daily_totals.day IS 'UTC day on which the jobs were created.';
COMMENT ON COLUMN spidra.daily_totals.scraping_channel IS 'Where the batches were submitted. Null: the API told none.';
COMMENT ON COLUMN spidra.daily_totals.output_format IS 'Format of the results. Null: the API told none.';
COMMENT ON COLUMN spidra.daily_totals.jobs IS 'Number of listed jobs.';
COMMENT ON COLUMN spidra.daily_totals.succeeded_jobs IS 'Jobs that completed with no URL failed.';
COMMENT ON COLUMN spidra.daily_totals.partly_failed_jobs IS 'Jobs that completed with some URLs failed.';
COMMENT ON COLUMN spidra.daily_totals.failed_jobs IS 'Jobs that failed, or completed with every URL failed.';
COMMENT ON COLUMN spidra.daily_totals.cancelled_jobs IS 'Jobs that were cancelled.';
COMMENT ON COLUMN spidra.daily_totals.open_jobs IS 'Jobs that have not ended.';
COMMENT ON COLUMN spidra.daily_totals.urls IS 'URLs in these jobs.';
COMMENT ON COLUMN spidra.daily_totals.completed_urls IS 'URLs scraped successfully.';
COMMENT ON COLUMN spidra.daily_totals.failed_urls IS 'URLs that failed.';
COMMENT ON COLUMN spidra.daily_totals.p50_duration_seconds IS 'Median of the seconds from created to finished.';
COMMENT ON COLUMN spidra.daily_totals.p95_duration_seconds IS '95th percentile of the same.';
COMMENT ON COLUMN spidra.daily_totals.max_duration_seconds IS 'The longest of the same.';

CREATE TABLE spidra.stale_days (
  account text NOT NULL,
  day     date NOT NULL,
  CONSTRAINT stale_days_pkey PRIMARY KEY (account, day)
);

COMMENT ON TABLE spidra.stale_days IS 'Days of an account whose jobs changed since daily_totals was last written for them.';
COMMENT ON COLUMN spidra.stale_days.account IS 'Spidra account, by its name in the configuration.';
COMMENT ON COLUMN spidra.stale_days.day IS 'UTC day on which the changed jobs were created.';

-- Written for the index: a range of created_at, not a function of it.
CREATE VIEW spidra.stale_totals AS
SELECT s.account, s.day, a.*
FROM spidra.stale_days s
CROSS JOIN LATERAL (
  SELECT
    b.scraping_channel,
    b.output_format,
    count(*) AS jobs,
    count(*) FILTER (WHERE b.outcome = 'succeeded') AS succeeded_jobs,
    count(*) FILTER (WHERE b.outcome = 'partly_failed') AS partly_failed_jobs,
    count(*) FILTER (WHERE b.outcome = 'failed') AS failed_jobs,
    count(*) FILTER (WHERE b.outcome = 'cancelled') AS cancelled_jobs,
    count(*) FILTER (WHERE b.outcome = 'open') AS open_jobs,
    sum(b.total_urls)::bigint AS urls,
    sum(b.completed_count)::bigint AS completed_urls,
    sum(b.failed_count)::bigint AS failed_urls,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY b.duration_seconds) AS p50_duration_seconds,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY b.duration_seconds) AS p95_duration_seconds,
    max(b.duration_seconds) AS max_duration_seconds
  FROM spidra_reporting.batch_jobs b
  WHERE b.account = s.account
    AND b.created_at >= s.day::timestamp AT TIME ZONE 'UTC'
    AND b.created_at < (s.day + 1)::timestamp AT TIME ZONE 'UTC'
  GROUP BY b.scraping_channel, b.output_format
) a;

COMMENT ON VIEW spidra.stale_totals IS 'The sums of the days in stale_days, aggregated from the jobs as they are now. Columns as in daily_totals.';
DO $$
DECLARE
  c record;
BEGIN
  FOR c IN SELECT attname, col_description(attrelid, attnum) AS words FROM pg_attribute
    WHERE attrelid = 'spidra.daily_totals'::regclass AND attnum > 0 AND attname <> 'id'
  LOOP
    EXECUTE format('COMMENT ON COLUMN spidra.stale_totals.%I IS %L', c.attname, c.words);
  END LOOP;
END
$$;

/* Marks the days of all rows that a statement wrote. A mark that is there already is written again: it is locked then,
   so that the day cannot be kept, and the mark dropped, before this transaction's jobs can be seen. */
CREATE FUNCTION spidra.mark_stale_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO spidra.stale_days AS s (account, day)
    SELECT DISTINCT r.account, (r.created_at AT TIME ZONE 'UTC')::date FROM new_rows r ORDER BY 1, 2
    ON CONFLICT (account, day) DO UPDATE SET day = s.day;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO spidra.stale_days AS s (account, day)
    SELECT DISTINCT r.account, (r.created_at AT TIME ZONE 'UTC')::date FROM old_rows r ORDER BY 1, 2
    ON CONFLICT (account, day) DO UPDATE SET day = s.day;
  ELSE
    INSERT INTO spidra.stale_days AS s (account, day)
    SELECT r.account, (r.created_at AT TIME ZONE 'UTC')::date FROM old_rows r
    UNION
    SELECT r.account, (r.created_at AT TIME ZONE 'UTC')::date FROM new_rows r
    ORDER BY 1, 2
    ON CONFLICT (account, day) DO UPDATE SET day = s.day;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION spidra.mark_stale_days IS 'Trigger of batch_jobs: marks the days of the rows that a statement wrote.';

CREATE TRIGGER batch_jobs_inserted AFTER INSERT ON spidra.batch_jobs
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION spidra.mark_stale_days();
CREATE TRIGGER batch_jobs_updated AFTER UPDATE ON spidra.batch_jobs
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION spidra.mark_stale_days();
CREATE TRIGGER batch_jobs_deleted AFTER DELETE ON spidra.batch_jobs
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION spidra.mark_stale_days();

/* No transition table tells the rows that a TRUNCATE takes: all of them. */
CREATE FUNCTION spidra.forget_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM spidra.daily_totals;
  DELETE FROM spidra.stale_days;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION spidra.forget_days IS 'Trigger of batch_jobs: forgets all kept sums after a TRUNCATE.';

CREATE TRIGGER batch_jobs_truncated AFTER TRUNCATE ON spidra.batch_jobs
  FOR EACH STATEMENT EXECUTE FUNCTION spidra.forget_days();

/* Keeps the stale days of an account anew and gives their number. The marks are locked first, by a statement of its own:
   the next one then sees all jobs of those that held them before. */
CREATE FUNCTION spidra.keep_stale_days(of_account text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  days date[];
BEGIN
  SELECT array_agg(l.day) INTO days
  FROM (SELECT s.day FROM spidra.stale_days s WHERE s.account = of_account ORDER BY s.day FOR UPDATE) l;
  IF days IS NULL THEN
    RETURN 0;
  END IF;
  DELETE FROM spidra.daily_totals t WHERE t.account = of_account AND t.day = ANY (days);
  INSERT INTO spidra.daily_totals (account, day, scraping_channel, output_format, jobs, succeeded_jobs,
    partly_failed_jobs, failed_jobs, cancelled_jobs, open_jobs, urls, completed_urls, failed_urls,
    p50_duration_seconds, p95_duration_seconds, max_duration_seconds)
  SELECT t.account, t.day, t.scraping_channel, t.output_format, t.jobs, t.succeeded_jobs, t.partly_failed_jobs,
    t.failed_jobs, t.cancelled_jobs, t.open_jobs, t.urls, t.completed_urls, t.failed_urls, t.p50_duration_seconds,
    t.p95_duration_seconds, t.max_duration_seconds
  FROM spidra.stale_totals t WHERE t.account = of_account AND t.day = ANY (days);
  DELETE FROM spidra.stale_days s WHERE s.account = of_account AND s.day = ANY (days);
  RETURN cardinality(days);
END
$$;
COMMENT ON FUNCTION spidra.keep_stale_days IS 'Writes daily_totals anew for the stale days of an account, and gives their number.';

INSERT INTO spidra.stale_days (account, day)
SELECT DISTINCT account, (created_at AT TIME ZONE 'UTC')::date FROM spidra.batch_jobs;
SELECT spidra.keep_stale_days(account) FROM (SELECT DISTINCT account FROM spidra.stale_days) a;

-- Views --------------------------------------------------------------------------------------------------------------

CREATE VIEW spidra_reporting.daily_batch_jobs AS
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
),
kinds AS (
  SELECT DISTINCT t.account, t.scraping_channel, t.output_format FROM totals t
)
SELECT
  d.day,
  d.account,
  k.scraping_channel,
  k.output_format,
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
JOIN kinds k ON k.account = d.account
-- Null equals null here, and differs from the empty text. IS NOT DISTINCT FROM would say so, but cannot be hashed.
LEFT JOIN totals t ON t.account = d.account AND t.day = d.day
  AND coalesce(t.scraping_channel, '') = coalesce(k.scraping_channel, '')
  AND (t.scraping_channel IS NULL) = (k.scraping_channel IS NULL)
  AND coalesce(t.output_format, '') = coalesce(k.output_format, '')
  AND (t.output_format IS NULL) = (k.output_format IS NULL);

COMMENT ON VIEW spidra_reporting.daily_batch_jobs IS 'One row for each UTC day, account, channel and format, from the account''s first day to today (ten years at most); days without jobs have zeros. A job counts on the day it was created.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.day IS 'UTC day on which the jobs were created.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.scraping_channel IS 'Where the batches were submitted, such as api or playground. Null: the API told none.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.output_format IS 'Format of the results, such as json or markdown. Null: the API told none.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.jobs IS 'Number of jobs: the sum of the five that follow.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.succeeded_jobs IS 'Jobs that completed with no URL failed.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.partly_failed_jobs IS 'Jobs that completed with some URLs failed.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.failed_jobs IS 'Jobs that failed, or completed with every URL failed.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.cancelled_jobs IS 'Jobs that were cancelled.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.open_jobs IS 'Jobs that have not ended.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.urls IS 'URLs in these jobs.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.completed_urls IS 'URLs scraped successfully.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.failed_urls IS 'URLs that failed.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.success_rate IS 'Completed URLs by finished ones, 0 to 1. Null: none has finished. Over several rows divide the sums, do not average.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.p50_duration_seconds IS 'Median of the seconds from created to finished, of the finished jobs. Null: none has finished.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.p95_duration_seconds IS '95th percentile of the same. Percentiles of several rows cannot be added up; ask batch_jobs.';
COMMENT ON COLUMN spidra_reporting.daily_batch_jobs.max_duration_seconds IS 'The longest of the same.';

CREATE VIEW spidra_reporting.open_batch_jobs AS
SELECT
  b.uuid,
  b.account,
  b.status,
  b.total_urls,
  b.completed_count,
  b.failed_count,
  greatest(0, b.total_urls::bigint - b.completed_count - b.failed_count)::integer AS pending_count,
  -- The API may count a retried URL twice for a moment. The CASE, because LEAST passes over null.
  CASE WHEN b.total_urls > 0
    THEN least(1, (b.completed_count::bigint + b.failed_count)::double precision / b.total_urls) END AS progress,
  b.output_format,
  b.scraping_channel,
  b.created_at,
  extract(epoch FROM now() - b.created_at)::double precision AS age_seconds,
  b.updated_at,
  p.last_progress_at,
  -- As of the last look, not of now: while nobody looks, nothing can be seen to move.
  greatest(0, extract(epoch FROM coalesce(s.last_complete_at, now()) - p.last_progress_at))::double precision
    AS seconds_without_progress,
  coalesce(s.stuck_after_hours, 6) AS stuck_after_hours
FROM spidra.batch_jobs b
LEFT JOIN spidra.sync_state s ON s.account = b.account
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN b.updated_at > b.first_seen_at THEN b.updated_at
    WHEN b.completed_count = 0 AND b.failed_count = 0 THEN b.created_at
    ELSE b.first_seen_at
  END AS last_progress_at
) p
WHERE b.removed_at IS NULL AND b.status NOT IN ('completed', 'failed', 'cancelled');

COMMENT ON VIEW spidra_reporting.open_batch_jobs IS 'One row for each listed job that has not ended.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.uuid IS 'Id of the batch job.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.status IS 'Status by the API: pending, running, or a word that we do not know.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.total_urls IS 'Number of URLs in the batch.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.completed_count IS 'Number of URLs scraped successfully.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.failed_count IS 'Number of URLs that failed.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.pending_count IS 'Number of URLs neither completed nor failed.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.progress IS 'Share of the URLs that finished, 0 to 1. Null: the batch has no URLs.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.output_format IS 'Format of the results. Null: the API told none.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.scraping_channel IS 'Where the batch was submitted. Null: the API told none.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.created_at IS 'When the batch was submitted.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.age_seconds IS 'Seconds from created_at until now.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.updated_at IS 'When spidra-sync last saw a change in the job.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.last_progress_at IS 'When the job was last seen to move: its last change; else when it was created, if no URL has finished; else when it was first seen.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.seconds_without_progress IS 'Seconds from last_progress_at to the last complete run.';
COMMENT ON COLUMN spidra_reporting.open_batch_jobs.stuck_after_hours IS 'Hours without progress after which the job counts as stuck: STUCK_AFTER_HOURS, 6 by default.';

CREATE VIEW spidra_reporting.stuck_batch_jobs AS
SELECT o.* FROM spidra_reporting.open_batch_jobs o
WHERE o.seconds_without_progress > o.stuck_after_hours * 3600;

COMMENT ON VIEW spidra_reporting.stuck_batch_jobs IS 'One row for each open job that has made no progress for longer than STUCK_AFTER_HOURS (6 by default). Columns as in open_batch_jobs.';
DO $$
DECLARE
  c record;
BEGIN
  FOR c IN SELECT attname, col_description(attrelid, attnum) AS words FROM pg_attribute
    WHERE attrelid = 'spidra_reporting.open_batch_jobs'::regclass AND attnum > 0
  LOOP
    EXECUTE format('COMMENT ON COLUMN spidra_reporting.stuck_batch_jobs.%I IS %L', c.attname, c.words);
  END LOOP;
END
$$;

CREATE VIEW spidra_reporting.status_changes AS
SELECT
  e.id,
  e.uuid,
  e.account,
  e.from_status,
  e.to_status,
  e.observed_at AS changed_at,
  -- Never below zero, should the API's clock be ahead of ours; null where nothing is known.
  extract(epoch FROM greatest(e.observed_at, since.moment) - since.moment)::double precision AS seconds_in_from_status,
  -- Not by the kind of the event: a job may come back from removal, or from another account, and run again.
  e.from_status IN ('completed', 'failed', 'cancelled')
    AND e.to_status NOT IN ('completed', 'failed', 'cancelled') AS is_reopened
FROM spidra.batch_job_events e
LEFT JOIN spidra.batch_jobs b ON b.uuid = e.uuid
LEFT JOIN LATERAL (
  SELECT p.observed_at FROM spidra.batch_job_events p
  WHERE p.uuid = e.uuid AND p.id < e.id AND p.from_status <> p.to_status
  ORDER BY p.id DESC LIMIT 1
) before ON true
CROSS JOIN LATERAL (
  SELECT coalesce(before.observed_at, CASE WHEN e.from_status = 'pending' THEN b.created_at ELSE b.first_seen_at END)
    AS moment
) since
WHERE e.from_status <> e.to_status;

COMMENT ON VIEW spidra_reporting.status_changes IS 'One row for each change of a job''s status that spidra-sync saw. Changes between two runs are seen as one. A job''s first sighting is no change.';
COMMENT ON COLUMN spidra_reporting.status_changes.id IS 'Number of the change; a later one of the same job has a higher number.';
COMMENT ON COLUMN spidra_reporting.status_changes.uuid IS 'Id of the batch job.';
COMMENT ON COLUMN spidra_reporting.status_changes.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.status_changes.from_status IS 'Status before.';
COMMENT ON COLUMN spidra_reporting.status_changes.to_status IS 'Status after.';
COMMENT ON COLUMN spidra_reporting.status_changes.changed_at IS 'When the change was seen; it happened since the run that read the job before.';
COMMENT ON COLUMN spidra_reporting.status_changes.seconds_in_from_status IS 'Seconds in the status before, as seen: since the change before; else, for pending, since the job was created; else since it was first seen, so at least this long. Changes older than HISTORY_DAYS are forgotten.';
COMMENT ON COLUMN spidra_reporting.status_changes.is_reopened IS 'True when a job that had ended runs again.';

CREATE VIEW spidra_reporting.sync_freshness AS
SELECT
  s.account,
  s.last_complete_at AS complete_as_of,
  s.reread_since AS every_job_reread_since,
  extract(epoch FROM greatest(now(), s.last_complete_at) - s.last_complete_at)::double precision AS lag_seconds,
  s.next_run_at,
  last_run.id AS last_run_id,
  last_run.status AS last_run_status,
  last_run.started_at AS last_run_started_at,
  last_run.finished_at AS last_run_finished_at,
  judged.listed_total AS listed_jobs,
  judged.stored_total AS stored_jobs,
  (SELECT count(*) FROM spidra.rejected_jobs r WHERE r.account = s.account AND r.resolved_at IS NULL) AS open_rejections
FROM spidra.sync_state s
LEFT JOIN LATERAL (
  SELECT r.id, r.status, r.started_at, r.finished_at FROM spidra.sync_runs r
  WHERE r.account = s.account ORDER BY r.started_at DESC, r.id DESC LIMIT 1
) last_run ON true
LEFT JOIN LATERAL (
  SELECT r.listed_total, r.stored_total FROM spidra.sync_runs r
  WHERE r.account = s.account AND r.listed_total IS NOT NULL ORDER BY r.started_at DESC, r.id DESC LIMIT 1
) judged ON true;

COMMENT ON VIEW spidra_reporting.sync_freshness IS 'One row for each account: how far the tables can be trusted.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.complete_as_of IS 'When the stored jobs were last proved to be the jobs that the API listed, open ones as they were. Null: not yet.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.every_job_reread_since IS 'Every listed job, ended ones too, was read from the API at or after this moment. Null: not yet.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.lag_seconds IS 'Seconds since complete_as_of. Null: not complete yet.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.next_run_at IS 'When the service means to run next. Null: no schedule is armed.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.last_run_id IS 'The last run: sync_run_history.id.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.last_run_status IS 'Its status: running, complete, partial, failed or aborted.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.last_run_started_at IS 'When it began.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.last_run_finished_at IS 'When it ended. Null: it is running.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.listed_jobs IS 'Number of jobs that the API said it lists, by the last run that came to a verdict.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.stored_jobs IS 'Number of them that were then stored, open rejections included.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.open_rejections IS 'Number of listed items that could not be stored as jobs.';

CREATE VIEW spidra_reporting.sync_run_history AS
SELECT
  r.id,
  r.account,
  r.mode,
  r.trigger,
  r.status,
  coalesce(r.status_reason, r.error_code) AS reason,
  r.error_message,
  r.started_at,
  r.finished_at,
  extract(epoch FROM coalesce(r.finished_at, now()) - r.started_at)::double precision AS duration_seconds,
  r.requests,
  r.retries,
  r.waited_ms / 1000.0::double precision AS waited_seconds,
  r.pages_read,
  r.seams_repaired,
  r.jobs_read,
  r.inserted,
  r.updated,
  r.unchanged,
  r.removed,
  r.restored,
  r.rejected,
  r.listed_total,
  r.stored_total,
  r.worker
FROM spidra.sync_runs r;

COMMENT ON VIEW spidra_reporting.sync_run_history IS 'One row for each run of spidra-sync, kept for HISTORY_DAYS.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.id IS 'Number of the run.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.mode IS 'full: every page was to be read. incremental: the newest, the open and a part of the other jobs.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.trigger IS 'What set the run off: schedule, startup or manual.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.status IS 'running, complete (the table held all that the API listed), partial (it may not), failed (by an error) or aborted (stopped from outside).';
COMMENT ON COLUMN spidra_reporting.sync_run_history.reason IS 'Why the run is not complete, as one word to group by. Null: it is complete or running.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.error_message IS 'What happened, where, and what to do. Null: no error ended the run.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.started_at IS 'When the run began.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.finished_at IS 'When the run ended. Null: it is running.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.duration_seconds IS 'Seconds that the run took, or has taken so far.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.requests IS 'HTTP requests sent, retries among them.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.retries IS 'Requests that repeated a failed one.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.waited_seconds IS 'Seconds spent waiting for the rate limit or before a retry.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.pages_read IS 'Pages of the list that were read.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.seams_repaired IS 'Times that neighbouring pages were read again because the list had moved.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.jobs_read IS 'Jobs on the pages read; one read twice counts twice.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.inserted IS 'Jobs stored for the first time.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.updated IS 'Stored jobs that had changed.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.unchanged IS 'Stored jobs that were read and had not changed.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.removed IS 'Stored jobs that the API no longer listed.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.restored IS 'Jobs marked as removed that the API listed again.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.rejected IS 'Items that could not be stored as jobs.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.listed_total IS 'Jobs that the API said it lists, by the answer on which the run was judged. Null: not judged.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.stored_total IS 'Jobs of these that the database then held, open rejections included. Null: not judged.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.worker IS 'Process that made the run, as host:pid.';
