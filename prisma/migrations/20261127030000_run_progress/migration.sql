-- What a run under way reports with its heartbeat besides its counters: from both follows when a first load will be done.
ALTER TABLE spidra.sync_runs
  ADD COLUMN latest_total integer,
  ADD COLUMN waits_until timestamptz(6);
COMMENT ON COLUMN spidra.sync_runs.latest_total IS
  'Number of jobs that the API said it lists, by its latest answer before the last heartbeat. Null: no heartbeat after an answer.';
COMMENT ON COLUMN spidra.sync_runs.waits_until IS
  'When the wait for the request budget ends, by the last heartbeat of a running record. Null: it did not wait.';
