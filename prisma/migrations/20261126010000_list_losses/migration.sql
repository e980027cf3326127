-- Whether the list of an account loses jobs decides how pages must join (docs/decisions.md, "Seams").
ALTER TABLE spidra.sync_state ADD COLUMN loses_jobs boolean NOT NULL DEFAULT false;
ALTER TABLE spidra.sync_state ADD COLUMN pass_total integer;
ALTER TABLE spidra.sync_state ADD COLUMN pass_created_at timestamptz(6);

COMMENT ON COLUMN spidra.sync_state.loses_jobs IS
  'The list of the account has lost jobs. Its pages are read so that they overlap, because equal totals prove nothing there.';
COMMENT ON COLUMN spidra.sync_state.pass_total IS
  'Total of the first answer of the first pass, and of the last one once it is over. Null once what it stored is proved.';
COMMENT ON COLUMN spidra.sync_state.pass_created_at IS
  'created_at of the newest job in that answer. Where the total grew by less than the jobs that came since, the list loses jobs.';
COMMENT ON COLUMN spidra.sync_state.mass_removal_at IS
  'Not used any more: a mass removal is applied by sync --full --accept-removals only.';

UPDATE spidra.sync_state s SET loses_jobs = true
WHERE EXISTS (SELECT FROM spidra.batch_job_events e WHERE e.account = s.account AND e.kind = 'removed');
