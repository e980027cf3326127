-- The items of batches and their results (SYNC_RESULTS). Empty, and neither read nor written, while it is off.

CREATE TABLE spidra.results_due (
  uuid       uuid PRIMARY KEY,
  account    text NOT NULL,
  created_at timestamptz(6) NOT NULL,
  attempts   integer NOT NULL DEFAULT 0,
  not_before timestamptz(6)
);
CREATE INDEX results_due_account_idx ON spidra.results_due (account, created_at DESC);
COMMENT ON TABLE spidra.results_due IS
  'Ended jobs whose items have not been read as they are now. The merge notes them; the newest are read first.';
COMMENT ON COLUMN spidra.results_due.uuid IS 'The job: spidra.batch_jobs.uuid.';
COMMENT ON COLUMN spidra.results_due.created_at IS 'When the job was created, for the order.';
COMMENT ON COLUMN spidra.results_due.attempts IS 'Attempts that brought no complete answer.';
COMMENT ON COLUMN spidra.results_due.not_before IS 'Not asked for before this time, after such an attempt. Null: at once.';

CREATE TABLE spidra.batch_reads (
  uuid            uuid PRIMARY KEY,
  account         text NOT NULL,
  status          text NOT NULL,
  completed_count integer NOT NULL,
  failed_count    integer NOT NULL,
  finished_at     timestamptz(6),
  outcome         text NOT NULL,
  reason          text,
  has_results     boolean NOT NULL,
  items           integer NOT NULL DEFAULT 0,
  credits         numeric NOT NULL DEFAULT 0,
  bytes           integer NOT NULL DEFAULT 0,
  read_at         timestamptz(6) NOT NULL DEFAULT now()
);
COMMENT ON TABLE spidra.batch_reads IS 'How the items of each job were last read.';
COMMENT ON COLUMN spidra.batch_reads.status IS
  'Status of the job when its items were read. With the counts and finished_at it shows whether the job has changed since.';
COMMENT ON COLUMN spidra.batch_reads.outcome IS
  'complete: as many items as the answer counts; incomplete: other numbers of items, also after several attempts; gone: the API no longer has the batch (404); unreadable: no answer that can be used, see reason.';
COMMENT ON COLUMN spidra.batch_reads.reason IS 'Why the outcome is not complete; null when it is.';
COMMENT ON COLUMN spidra.batch_reads.has_results IS 'Whether results were stored too (SYNC_RESULTS=full), or only the items.';
COMMENT ON COLUMN spidra.batch_reads.bytes IS 'Size of the answer.';

CREATE TABLE spidra.batch_items (
  uuid           uuid PRIMARY KEY,
  batch_uuid     uuid NOT NULL,
  account        text NOT NULL,
  position       integer NOT NULL,
  url            text,
  host           text GENERATED ALWAYS AS (lower(substring(url FROM '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]*)'))) STORED,
  status         text NOT NULL,
  error          text,
  credits_used   numeric,
  job_id         text,
  started_at     timestamptz(6),
  finished_at    timestamptz(6),
  screenshot_url text,
  extra          jsonb,
  first_seen_at  timestamptz(6) NOT NULL DEFAULT now(),
  updated_at     timestamptz(6) NOT NULL DEFAULT now(),
  removed_at     timestamptz(6)
);
CREATE INDEX batch_items_batch_idx ON spidra.batch_items (batch_uuid);
-- For spidra_reporting.failing_hosts: few items fail, and the view is about the last 30 days.
CREATE INDEX batch_items_failed_idx ON spidra.batch_items (finished_at) WHERE status = 'failed' AND removed_at IS NULL;
COMMENT ON TABLE spidra.batch_items IS 'One row a URL of a batch (SYNC_RESULTS=items or full).';
COMMENT ON COLUMN spidra.batch_items.uuid IS
  'The uuid of the item. For an item without one it is computed from the batch and the position.';
COMMENT ON COLUMN spidra.batch_items.batch_uuid IS 'The job: spidra.batch_jobs.uuid.';
COMMENT ON COLUMN spidra.batch_items.position IS 'Place in the batch, from 0.';
COMMENT ON COLUMN spidra.batch_items.host IS 'Host of the URL, in lower case. Null: the URL has none.';
COMMENT ON COLUMN spidra.batch_items.status IS
  'pending, running, completed, failed or cancelled, or another word that the API sent; unknown if it sent none.';
COMMENT ON COLUMN spidra.batch_items.credits_used IS 'Credits that the URL cost. Null: the API sent no number.';
COMMENT ON COLUMN spidra.batch_items.screenshot_url IS 'A signed link, which may expire.';
COMMENT ON COLUMN spidra.batch_items.extra IS
  'Fields that spidra-sync does not know, and known ones whose value has another type than documented.';
COMMENT ON COLUMN spidra.batch_items.removed_at IS 'When a later answer for the batch no longer had the item. Null: it has it.';

CREATE TABLE spidra.batch_results (
  item_uuid   uuid PRIMARY KEY,
  result      jsonb,
  result_text text,
  bytes       integer NOT NULL,
  updated_at  timestamptz(6) NOT NULL DEFAULT now()
);
COMMENT ON TABLE spidra.batch_results IS 'The result of each item (SYNC_RESULTS=full). Apart from the items, so that these stay narrow.';
COMMENT ON COLUMN spidra.batch_results.item_uuid IS 'The item: spidra.batch_items.uuid.';
COMMENT ON COLUMN spidra.batch_results.result IS 'A result that is an object, an array, a number or a boolean. Null: see result_text.';
COMMENT ON COLUMN spidra.batch_results.result_text IS
  'A result that is text, such as Markdown. Also the JSON text of one that jsonb refuses, because it holds \u0000 or half a surrogate pair.';
COMMENT ON COLUMN spidra.batch_results.bytes IS 'Size of the result, as JSON or as text.';

ALTER TABLE spidra.sync_state
  ADD COLUMN results_run_id bigint,
  ADD COLUMN results_mode text,
  ADD COLUMN results_noted_to timestamptz(6),
  ADD COLUMN results_noted_uuid uuid;
COMMENT ON COLUMN spidra.sync_state.results_run_id IS
  'The last run that noted ended jobs in results_due. If a later run did not, SYNC_RESULTS was off meanwhile, and all stored jobs are compared again.';
COMMENT ON COLUMN spidra.sync_state.results_mode IS 'SYNC_RESULTS of that run: items or full.';
COMMENT ON COLUMN spidra.sync_state.results_noted_to IS
  'Stored jobs from the newest down to this created_at (and results_noted_uuid) have been compared with batch_reads. -infinity: all.';
COMMENT ON COLUMN spidra.sync_state.results_noted_uuid IS 'See results_noted_to.';

COMMENT ON COLUMN spidra.results_due.account IS 'Spidra account, by its name in the configuration.';
COMMENT ON COLUMN spidra.batch_reads.uuid IS 'The job: spidra.batch_jobs.uuid.';
COMMENT ON COLUMN spidra.batch_reads.account IS 'Spidra account, by its name in the configuration.';
COMMENT ON COLUMN spidra.batch_reads.completed_count IS 'URLs of the job that had completed then.';
COMMENT ON COLUMN spidra.batch_reads.failed_count IS 'URLs of the job that had failed then.';
COMMENT ON COLUMN spidra.batch_reads.finished_at IS 'When the job had ended then.';
COMMENT ON COLUMN spidra.batch_reads.items IS 'Items in the answer.';
COMMENT ON COLUMN spidra.batch_reads.credits IS 'Credits that they cost together.';
COMMENT ON COLUMN spidra.batch_reads.read_at IS 'When the items were read.';
COMMENT ON COLUMN spidra.batch_items.account IS 'Spidra account, by its name in the configuration.';
COMMENT ON COLUMN spidra.batch_items.url IS 'The URL that was scraped. Null: the API sent none.';
COMMENT ON COLUMN spidra.batch_items.error IS 'Why the URL failed, in the words of the API. Null: it did not.';
COMMENT ON COLUMN spidra.batch_items.job_id IS 'Id of the scrape. Null: it has not begun.';
COMMENT ON COLUMN spidra.batch_items.started_at IS 'When the scrape began. Null: it has not.';
COMMENT ON COLUMN spidra.batch_items.finished_at IS 'When the scrape ended. Null: it has not.';
COMMENT ON COLUMN spidra.batch_items.first_seen_at IS 'When the item was first stored.';
COMMENT ON COLUMN spidra.batch_items.updated_at IS 'When the stored item last changed.';
COMMENT ON COLUMN spidra.batch_results.updated_at IS 'When the stored result last changed.';

CREATE VIEW spidra_reporting.batch_items AS
SELECT
  i.uuid,
  i.batch_uuid,
  b.account,
  i.position,
  i.url,
  i.host,
  i.status,
  CASE i.status WHEN 'completed' THEN 'succeeded' WHEN 'failed' THEN 'failed' WHEN 'cancelled' THEN 'cancelled' ELSE 'open' END AS outcome,
  i.error,
  i.credits_used::double precision AS credits_used,
  i.started_at,
  i.finished_at,
  extract(epoch FROM i.finished_at - i.started_at)::double precision AS duration_seconds,
  i.screenshot_url,
  b.status AS batch_status,
  b.output_format,
  b.scraping_channel,
  b.created_at AS batch_created_at,
  b.finished_at AS batch_finished_at
FROM spidra.batch_items i JOIN spidra.batch_jobs b ON b.uuid = i.batch_uuid
WHERE i.removed_at IS NULL AND b.removed_at IS NULL;

COMMENT ON VIEW spidra_reporting.batch_items IS 'One row for each URL of a listed batch job whose items have been read. Empty while SYNC_RESULTS is off.';
COMMENT ON COLUMN spidra_reporting.batch_items.uuid IS 'Id of the item, given by Spidra.';
COMMENT ON COLUMN spidra_reporting.batch_items.batch_uuid IS 'The batch job: batch_jobs.uuid.';
COMMENT ON COLUMN spidra_reporting.batch_items.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.batch_items.position IS 'Place of the URL in the batch, from 0.';
COMMENT ON COLUMN spidra_reporting.batch_items.url IS 'The URL that was scraped.';
COMMENT ON COLUMN spidra_reporting.batch_items.host IS 'Host of the URL, in lower case.';
COMMENT ON COLUMN spidra_reporting.batch_items.status IS 'Status by the API: pending, running, completed, failed or cancelled; later versions of the API may add others.';
COMMENT ON COLUMN spidra_reporting.batch_items.outcome IS 'succeeded, failed, cancelled or open.';
COMMENT ON COLUMN spidra_reporting.batch_items.error IS 'Why the URL failed, in the words of the API. Null: it did not.';
COMMENT ON COLUMN spidra_reporting.batch_items.credits_used IS 'Credits that the URL cost.';
COMMENT ON COLUMN spidra_reporting.batch_items.started_at IS 'When the scrape began.';
COMMENT ON COLUMN spidra_reporting.batch_items.finished_at IS 'When the scrape ended. Null: it has not.';
COMMENT ON COLUMN spidra_reporting.batch_items.duration_seconds IS 'Seconds from started_at to finished_at.';
COMMENT ON COLUMN spidra_reporting.batch_items.screenshot_url IS 'Link to a screenshot. It is signed, and may expire.';
COMMENT ON COLUMN spidra_reporting.batch_items.batch_status IS 'Status of the batch job.';
COMMENT ON COLUMN spidra_reporting.batch_items.output_format IS 'Format of the results, such as json or markdown.';
COMMENT ON COLUMN spidra_reporting.batch_items.scraping_channel IS 'Where the batch was submitted, such as api or playground.';
COMMENT ON COLUMN spidra_reporting.batch_items.batch_created_at IS 'When the batch was submitted.';
COMMENT ON COLUMN spidra_reporting.batch_items.batch_finished_at IS 'When the batch ended.';

CREATE VIEW spidra_reporting.failing_hosts AS
SELECT i.account, i.host, i.error, count(*) AS urls, max(i.finished_at) AS last_seen_at
FROM spidra.batch_items i
WHERE i.status = 'failed' AND i.removed_at IS NULL AND i.finished_at >= now() - interval '30 days'
GROUP BY i.account, i.host, i.error;

COMMENT ON VIEW spidra_reporting.failing_hosts IS 'One row for each host and error of the URLs that failed in the last 30 days. Empty while SYNC_RESULTS is off.';
COMMENT ON COLUMN spidra_reporting.failing_hosts.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.failing_hosts.host IS 'Host of the URLs, in lower case.';
COMMENT ON COLUMN spidra_reporting.failing_hosts.error IS 'Why they failed, in the words of the API.';
COMMENT ON COLUMN spidra_reporting.failing_hosts.urls IS 'Number of URLs that failed.';
COMMENT ON COLUMN spidra_reporting.failing_hosts.last_seen_at IS 'When the last of them failed.';

-- From the sums of each reading: the items of 100,000 batches are five million rows.
CREATE VIEW spidra_reporting.daily_credits AS
SELECT
  (b.created_at AT TIME ZONE 'UTC')::date AS day,
  b.account,
  b.scraping_channel,
  b.output_format,
  count(*) AS jobs,
  sum(r.items) AS urls,
  sum(r.credits)::double precision AS credits
FROM spidra.batch_reads r JOIN spidra.batch_jobs b ON b.uuid = r.uuid
WHERE b.removed_at IS NULL
GROUP BY 1, 2, 3, 4;

COMMENT ON VIEW spidra_reporting.daily_credits IS 'One row for each UTC day, account, channel and format: what the listed batch jobs created on that day cost, as far as their items have been read. Empty while SYNC_RESULTS is off.';
COMMENT ON COLUMN spidra_reporting.daily_credits.day IS 'UTC day on which the jobs were created, as in daily_batch_jobs.';
COMMENT ON COLUMN spidra_reporting.daily_credits.account IS 'Spidra account, by its name in the configuration of spidra-sync.';
COMMENT ON COLUMN spidra_reporting.daily_credits.scraping_channel IS 'Where the batches were submitted, such as api or playground.';
COMMENT ON COLUMN spidra_reporting.daily_credits.output_format IS 'Format of the results, such as json or markdown.';
COMMENT ON COLUMN spidra_reporting.daily_credits.jobs IS 'Number of jobs whose items have been read.';
COMMENT ON COLUMN spidra_reporting.daily_credits.urls IS 'Number of their URLs.';
COMMENT ON COLUMN spidra_reporting.daily_credits.credits IS 'Credits that these cost.';
