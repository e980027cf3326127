-- The running record of an account is its lease: whoever inserts it may run (docs/decisions.md, "A lease instead of a session lock").
-- A worker of an older version may insert one meanwhile.
LOCK TABLE spidra.sync_runs IN SHARE ROW EXCLUSIVE MODE;
UPDATE spidra.sync_runs r
SET status = 'aborted', finished_at = now(), error_code = 'worker_lost',
  error_message = 'The worker ended without closing the run'
WHERE r.status = 'running' AND EXISTS (
  SELECT FROM spidra.sync_runs later WHERE later.account = r.account AND later.status = 'running' AND later.id > r.id
);

DROP INDEX spidra.sync_runs_running_idx;
CREATE UNIQUE INDEX sync_runs_lease_idx ON spidra.sync_runs (account) WHERE status = 'running';

ALTER TABLE spidra.sync_runs ADD COLUMN pid_namespace text;
COMMENT ON COLUMN spidra.sync_runs.pid_namespace IS
  'Boot of the machine, process namespace and user for which the process number of worker counts. Null: not Linux.';
COMMENT ON COLUMN spidra.sync_runs.heartbeat_at IS
  'When the run last advanced, or waited for the request budget. Written every 15 seconds. A running record without it for a minute is closed by the next run.';
