-- How far the results of batches have been read (SYNC_RESULTS), for those who read the views.

ALTER TABLE spidra.sync_state
  ADD COLUMN results_per_run integer,
  ADD COLUMN results_interval_ms double precision,
  ADD COLUMN results_complete_at timestamptz(6);
COMMENT ON COLUMN spidra.sync_state.results_mode IS 'SYNC_RESULTS of the last run: items or full. Null: off.';
COMMENT ON COLUMN spidra.sync_state.results_per_run IS 'RESULTS_PER_RUN of the last run that noted ended jobs.';
COMMENT ON COLUMN spidra.sync_state.results_interval_ms IS 'Time between two runs of the schedule, in milliseconds, as of that run.';
COMMENT ON COLUMN spidra.sync_state.results_complete_at IS
  'last_complete_at of the last run that began while no ended job was due. Null: none has, since results are kept as now.';

-- Ended jobs that have not yet been compared with batch_reads (older than results_noted_to) count as due.
CREATE OR REPLACE VIEW spidra_reporting.sync_freshness AS
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
  (SELECT coalesce(sum(r.copies), 0)::bigint FROM spidra.rejected_jobs r
   WHERE r.account = s.account AND r.resolved_at IS NULL) AS open_rejections,
  CASE WHEN s.results_mode IS NOT NULL THEN due.jobs
    + (SELECT count(*) FROM spidra.batch_jobs j
      WHERE j.account = s.account AND j.removed_at IS NULL AND j.created_at < coalesce(s.results_noted_to, 'infinity'))
    - (SELECT count(*) FROM spidra.batch_jobs j
      WHERE j.account = s.account AND j.removed_at IS NULL AND j.created_at < coalesce(s.results_noted_to, 'infinity')
        AND j.status NOT IN ('completed', 'failed', 'cancelled'))
  END AS results_due,
  CASE
    WHEN s.results_mode IS NULL THEN NULL
    WHEN s.results_noted_to = '-infinity' AND due.jobs = 0 THEN s.last_complete_at
    ELSE s.results_complete_at
  END AS results_complete_as_of
FROM spidra.sync_state s
LEFT JOIN LATERAL (
  SELECT r.id, r.status, r.started_at, r.finished_at FROM spidra.sync_runs r
  WHERE r.account = s.account ORDER BY r.started_at DESC, r.id DESC LIMIT 1
) last_run ON true
LEFT JOIN LATERAL (
  SELECT r.listed_total, r.stored_total FROM spidra.sync_runs r
  WHERE r.account = s.account AND r.listed_total IS NOT NULL ORDER BY r.started_at DESC, r.id DESC LIMIT 1
) judged ON true
-- A job that was removed or opened again since it was noted is dropped only when its turn comes.
LEFT JOIN LATERAL (
  SELECT count(*) AS jobs FROM spidra.results_due d JOIN spidra.batch_jobs j ON j.uuid = d.uuid
  WHERE s.results_mode IS NOT NULL AND d.account = s.account AND d.created_at >= coalesce(s.results_noted_to, 'infinity')
    AND j.account = s.account AND j.removed_at IS NULL AND j.status IN ('completed', 'failed', 'cancelled')
) due ON true;

COMMENT ON COLUMN spidra_reporting.sync_freshness.results_due IS 'Number of ended batch jobs whose items are still to be read. After results were switched on, it counts all stored ones until they have been compared. Null: SYNC_RESULTS is off.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.results_complete_as_of IS 'The latest complete_as_of at which no ended batch job was due: the items of all had been read as the jobs then were, or could not be read for good. Equal to complete_as_of while none is due. Null: not yet, or SYNC_RESULTS is off.';

-- How each batch was read. Readers saw sums only, and not why a batch could not be read.
CREATE VIEW spidra_reporting.batch_reads AS
SELECT
  r.uuid,
  b.account,
  r.outcome,
  r.reason,
  r.items AS urls,
  r.credits::double precision AS credits,
  r.has_results,
  r.bytes,
  r.read_at,
  b.status AS batch_status,
  b.output_format,
  b.scraping_channel,
  b.created_at AS batch_created_at,
  b.finished_at AS batch_finished_at
FROM spidra.batch_reads r JOIN spidra.batch_jobs b ON b.uuid = r.uuid
WHERE b.removed_at IS NULL;

COMMENT ON VIEW spidra_reporting.batch_reads IS 'One row for each listed batch job whose items have been asked for: what the last answer was, and what the URLs cost. Empty while SYNC_RESULTS is off.';
COMMENT ON COLUMN spidra_reporting.batch_reads.uuid IS 'The batch job: batch_jobs.uuid.';
COMMENT ON COLUMN spidra_reporting.batch_reads.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.batch_reads.outcome IS 'complete (as many items as the answer counts), incomplete (other numbers), gone (the API no longer has the batch) or unreadable (no usable answer).';
COMMENT ON COLUMN spidra_reporting.batch_reads.reason IS 'Why the outcome is not complete. Null: it is.';
COMMENT ON COLUMN spidra_reporting.batch_reads.urls IS 'Number of URLs in the last answer with items.';
COMMENT ON COLUMN spidra_reporting.batch_reads.credits IS 'Credits that these cost.';
COMMENT ON COLUMN spidra_reporting.batch_reads.has_results IS 'Whether the results were stored too (SYNC_RESULTS=full), or only the items.';
COMMENT ON COLUMN spidra_reporting.batch_reads.bytes IS 'Size of the last answer.';
COMMENT ON COLUMN spidra_reporting.batch_reads.read_at IS 'When the items were last read.';
COMMENT ON COLUMN spidra_reporting.batch_reads.batch_status IS 'Status of the batch job.';
COMMENT ON COLUMN spidra_reporting.batch_reads.output_format IS 'Format of the results, such as json or markdown.';
COMMENT ON COLUMN spidra_reporting.batch_reads.scraping_channel IS 'Where the batch was submitted, such as api or playground.';
COMMENT ON COLUMN spidra_reporting.batch_reads.batch_created_at IS 'When the batch was submitted.';
COMMENT ON COLUMN spidra_reporting.batch_reads.batch_finished_at IS 'When the batch ended.';
