-- Views for what readers could see on the dashboard only, because it lies in tables that they may not read. Readers that were
-- granted the schema read them at once, by default privileges.

CREATE VIEW spidra_reporting.rejected_items AS
SELECT r.id, r.account, r.uuid, r.reason, r.copies, r.first_rejected_at, r.last_rejected_at, r.resolved_at, r.run_id
FROM spidra.rejected_jobs r;

COMMENT ON VIEW spidra_reporting.rejected_items IS 'One row for each listed item that could not be stored as a batch job. It is open while resolved_at is null; resolved ones are kept for HISTORY_DAYS.';
COMMENT ON COLUMN spidra_reporting.rejected_items.id IS 'Number of the rejection.';
COMMENT ON COLUMN spidra_reporting.rejected_items.account IS 'Spidra account whose list held the item, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.rejected_items.uuid IS 'Id of the batch job. Null: the item has none that can be read.';
COMMENT ON COLUMN spidra_reporting.rejected_items.reason IS 'Why the item could not be stored.';
COMMENT ON COLUMN spidra_reporting.rejected_items.copies IS 'How often one pass met the item, at most. Above 1 only for items without a uuid.';
COMMENT ON COLUMN spidra_reporting.rejected_items.first_rejected_at IS 'When the item was first rejected.';
COMMENT ON COLUMN spidra_reporting.rejected_items.last_rejected_at IS 'When the item was last rejected. Refreshed when its content changes, else at most once a day.';
COMMENT ON COLUMN spidra_reporting.rejected_items.resolved_at IS 'When the item was stored after all, or was no longer listed. Null: the rejection is open.';
COMMENT ON COLUMN spidra_reporting.rejected_items.run_id IS 'The run that last wrote this row: sync_run_history.id.';

CREATE VIEW spidra_reporting.removed_batch_jobs AS
SELECT b.uuid, b.account, b.status, b.total_urls, b.completed_count, b.failed_count, b.output_format, b.scraping_channel,
  b.created_at, b.finished_at, b.first_seen_at, b.updated_at, b.removed_at
FROM spidra.batch_jobs b
WHERE b.removed_at IS NOT NULL;

COMMENT ON VIEW spidra_reporting.removed_batch_jobs IS 'One row for each stored batch job that the Spidra API no longer lists. A job that returns leaves this view and is in batch_jobs again.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.uuid IS 'Id of the batch job, given by Spidra.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.account IS 'Spidra account that the job belonged to, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.status IS 'Status by the API when the job was last listed.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.total_urls IS 'Number of URLs in the batch.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.completed_count IS 'Number of URLs scraped successfully when the job was last listed.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.failed_count IS 'Number of URLs that had failed when the job was last listed.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.output_format IS 'Format of the results, such as json or markdown. Null: the API reported none.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.scraping_channel IS 'Where the batch was submitted, such as api or playground. Null: the API reported none.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.created_at IS 'When the batch was submitted.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.finished_at IS 'When the batch ended. Null: it had not ended when it was last listed.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.first_seen_at IS 'When spidra-sync first stored the job.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.updated_at IS 'When spidra-sync last saw a change in the job.';
COMMENT ON COLUMN spidra_reporting.removed_batch_jobs.removed_at IS 'When spidra-sync found that the API no longer lists the job.';

CREATE VIEW spidra_reporting.sync_alerts AS
SELECT a.account, a.kind, a.state, a.since, a.summary, a.told_at AS reported_at
FROM spidra.alerts a;

COMMENT ON VIEW spidra_reporting.sync_alerts IS 'One row for each account and kind of alert that has fired at least once, as of the last check of the service.';
COMMENT ON COLUMN spidra_reporting.sync_alerts.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.sync_alerts.kind IS 'What is wrong: runs_failing, run_stalled, key_refused, run_partial, stale, stuck_jobs or rejections; later versions may add kinds.';
COMMENT ON COLUMN spidra_reporting.sync_alerts.state IS 'firing: it is wrong. resolved: it no longer is.';
COMMENT ON COLUMN spidra_reporting.sync_alerts.since IS 'When the service noticed that the state changed.';
COMMENT ON COLUMN spidra_reporting.sync_alerts.summary IS 'The state in words, as of that moment.';
COMMENT ON COLUMN spidra_reporting.sync_alerts.reported_at IS 'When ALERT_WEBHOOK_URL last got a message about this kind. Null: never.';

CREATE VIEW spidra_reporting.request_budget AS
SELECT s.account, s.rate_limit, s.rate_remaining, s.rate_reset_at
FROM spidra.sync_state s;

COMMENT ON VIEW spidra_reporting.request_budget IS 'One row for each account: the requests that the Spidra API allows, as it last reported.';
COMMENT ON COLUMN spidra_reporting.request_budget.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.request_budget.rate_limit IS 'Requests that the API allows in a window. Null: it has not reported a limit.';
COMMENT ON COLUMN spidra_reporting.request_budget.rate_remaining IS 'Requests left in the window, at the last answer. Null: it has not reported any.';
COMMENT ON COLUMN spidra_reporting.request_budget.rate_reset_at IS 'When the window ends and the limit counts anew. Null: it has not reported it.';

-- What the overview shows of a first load. A view keeps its columns in their order: new ones come last.
CREATE OR REPLACE VIEW spidra_reporting.sync_run_history AS
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
  r.worker,
  r.latest_total,
  r.waits_until
FROM spidra.sync_runs r;

COMMENT ON COLUMN spidra_reporting.sync_run_history.latest_total IS 'Jobs that the API said it lists, by its latest answer before the last heartbeat. Null: no heartbeat after an answer.';
COMMENT ON COLUMN spidra_reporting.sync_run_history.waits_until IS 'When the wait of a running run for the request budget ends, as of its last heartbeat. Null: it does not wait.';
