-- What a verdict speaks of, in words that hold where items are in quarantine, and where it comes in the middle of a run.

-- An item without a uuid may be listed several times: open_rejections counts each, so that with it the numbers add up.
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
   WHERE r.account = s.account AND r.resolved_at IS NULL) AS open_rejections
FROM spidra.sync_state s
LEFT JOIN LATERAL (
  SELECT r.id, r.status, r.started_at, r.finished_at FROM spidra.sync_runs r
  WHERE r.account = s.account ORDER BY r.started_at DESC, r.id DESC LIMIT 1
) last_run ON true
LEFT JOIN LATERAL (
  SELECT r.listed_total, r.stored_total FROM spidra.sync_runs r
  WHERE r.account = s.account AND r.listed_total IS NOT NULL ORDER BY r.started_at DESC, r.id DESC LIMIT 1
) judged ON true;

COMMENT ON COLUMN spidra_reporting.sync_freshness.complete_as_of IS 'When the database was last proved to hold all that the API listed, as jobs or as rejected items, open jobs as they were. It moves at the end of a run and on its way. Null: not yet.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.stored_jobs IS 'Number of them that the database then held: as jobs, or as rejected items that are no version of a stored job.';
COMMENT ON COLUMN spidra_reporting.sync_freshness.open_rejections IS 'Number of listed items that could not be stored as they are: neither as jobs, nor as new versions of stored jobs.';

COMMENT ON COLUMN spidra_reporting.sync_run_history.status IS 'running, complete (the database held all that the API listed, as jobs or as rejected items), partial (it may not), failed (by an error) or aborted (stopped from outside).';
COMMENT ON COLUMN spidra_reporting.sync_run_history.stored_total IS 'Number of these that the database then held: as jobs, or as rejected items that are no version of a stored job. Null: not judged.';

COMMENT ON COLUMN spidra_reporting.open_batch_jobs.seconds_without_progress IS 'Seconds from last_progress_at to complete_as_of of sync_freshness; until now where the account has never been complete.';
COMMENT ON COLUMN spidra_reporting.stuck_batch_jobs.seconds_without_progress IS 'Seconds from last_progress_at to complete_as_of of sync_freshness; until now where the account has never been complete.';

COMMENT ON TABLE spidra.sync_runs IS 'One row for each pass of spidra-sync over an account: what it read, what it changed, and whether the database held all that the API listed.';
COMMENT ON COLUMN spidra.sync_runs.status IS 'running: not ended. complete: the database held all that the API listed, as jobs or as rejected items. partial: it may not, status_reason says why. failed: stopped by an error. aborted: stopped from outside.';
COMMENT ON COLUMN spidra.sync_runs.rejected IS 'Number of items met that could not be stored as they are; they are in rejected_jobs.';
COMMENT ON COLUMN spidra.sync_runs.stored_total IS 'Number of listed items that the database then held: as jobs, or as rejected items that are no version of a stored job. Null: not judged.';
COMMENT ON COLUMN spidra.sync_state.last_complete_at IS 'When the database was last proved to hold all that the API listed, as jobs or as rejected items, at the end of a run or on its way. Null: not yet.';
