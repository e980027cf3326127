import type { QueryResultRow } from 'pg'
import { uuidOf } from './job-rows.js'

/** Runs a statement in the transaction of an example, in which `now()` does not change. */
export type Ask = <Row extends QueryResultRow>(text: string) => Promise<{ rows: Row[] }>

const TODAY = `date_trunc('day', now(), 'UTC')`

/** Created `ago` days ago at 00:00 UTC, so that no query depends on the time of day; finished after `seconds`. */
const JOBS = [
  { ago: 0, status: 'running', counts: [10, 4, 1], channel: `'api'`, format: `'json'`, seconds: null },
  { ago: 1, status: 'pending', counts: [5, 0, 0], channel: `'playground'`, format: `'json'`, seconds: null },
  { ago: 1, status: 'completed', counts: [10, 10, 0], channel: `'api'`, format: `'json'`, seconds: 60 },
  { ago: 1, status: 'completed', counts: [10, 7, 3], channel: `'api'`, format: `'json'`, seconds: 90 },
  { ago: 3, status: 'failed', counts: [4, 0, 4], channel: `'api'`, format: `'markdown'`, seconds: 30 },
  { ago: 3, status: 'cancelled', counts: [8, 2, 0], channel: 'NULL', format: 'NULL', seconds: 20.5 },
  { ago: 5, status: 'running', counts: [20, 8, 2], channel: `'api'`, format: `'json'`, seconds: null },
] as const

/** Inserts seven jobs of a week, their events, and runs; all relative to now. */
export async function insertExamples(ask: Ask): Promise<void> {
  for (const [i, { ago, status, counts, channel, format, seconds }] of JOBS.entries()) {
    const created = `${TODAY} - interval '${ago} days'`
    const finished = seconds === null ? 'NULL' : `${created} + interval '${seconds} seconds'`
    const changed = `now() - interval '${ago === 5 ? 30 : 0.5} hours'`
    await ask(`
      INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, scraping_channel,
        output_format, created_at, finished_at, first_seen_at, updated_at)
      VALUES ('${uuidOf(i + 1)}', '${status}', ${counts.join()}, ${channel}, ${format}, ${created}, ${finished},
        now() - interval '200 hours', ${changed})`)
  }
  await ask(`
    INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, created_at, removed_at)
      VALUES ('${uuidOf(8)}', 'completed', 1, 1, 0, ${TODAY} - interval '2 days', now() - interval '4 hours');
    INSERT INTO spidra.sync_state (account, is_whole, last_complete_at, reread_since, stuck_after_hours)
      VALUES ('default', true, now() - interval '90 seconds', now() - interval '9 hours', 6);
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, started_at, finished_at, requests, listed_total,
      stored_total, status_reason, error_code, error_message, worker) VALUES
      ('default', 'full', 'schedule', 'complete', now() - interval '9 hours', now() - interval '8 hours', 140, 8, 8,
        NULL, NULL, NULL, 'a:1'),
      ('default', 'incremental', 'schedule', 'partial', now() - interval '3 hours', now() - interval '2.99 hours', 9, 8, 7,
        'list_moving', NULL, NULL, 'a:1'),
      ('default', 'incremental', 'schedule', 'failed', now() - interval '2 hours', now() - interval '1.99 hours', 6,
        NULL, NULL, NULL, 'timeout', 'Spidra did not answer in 30 s.', 'a:1'),
      ('default', 'incremental', 'schedule', 'complete', now() - interval '92 seconds', now() - interval '90 seconds', 1,
        8, 8, NULL, NULL, NULL, 'a:1');
    INSERT INTO spidra.batch_job_events (uuid, account, run_id, observed_at, kind, from_status, to_status) VALUES
      ('${uuidOf(1)}', 'default', 1, now() - interval '50 hours', 'status_changed', 'running', 'completed'),
      ('${uuidOf(1)}', 'default', 2, now() - interval '40 minutes', 'reopened', 'completed', 'pending'),
      ('${uuidOf(1)}', 'default', 2, now() - interval '35 minutes', 'status_changed', 'pending', 'running'),
      ('${uuidOf(1)}', 'default', 2, now() - interval '30 minutes', 'progressed', 'running', 'running');
    INSERT INTO spidra.rejected_jobs (account, fingerprint, payload, reason, run_id, resolved_at) VALUES
      ('default', 'a', '{"uuid":7}', 'uuid: must be a uuid', 1, NULL), ('default', 'b', '[]', 'no object', 1, now())`)
}

/** Adds items, results and readings to the jobs of `insertExamples`, as with SYNC_RESULTS=full; one batch is still due. */
export async function insertExampleResults(ask: Ask): Promise<void> {
  const items = [
    [3, 0, 'https://shop.example/a', 'completed', null, 1],
    [3, 1, 'https://shop.example/b', 'completed', null, 1],
    [4, 0, 'https://slow.example/1', 'failed', 'Navigation timeout of 30000 ms exceeded', 0.5],
    [4, 1, 'https://slow.example/2', 'failed', 'Navigation timeout of 30000 ms exceeded', 0.5],
    [4, 2, 'https://guarded.example/', 'failed', 'HTTP 403 Forbidden', 0],
    [5, 0, 'https://shop.example/c', 'failed', 'HTTP 404 Not Found', 0],
    ...['list', 'object', 'number', 'text'].map((kind, i) => [
      1,
      i,
      `https://shop.example/${kind}`,
      'completed',
      null,
      2,
    ]),
  ] as const
  const literal = (value: string | number | null) => (typeof value === 'string' ? `'${value}'` : String(value))
  for (const [i, [batch, position, url, status, error, credits]] of items.entries()) {
    await ask(`
      INSERT INTO spidra.batch_items (uuid, batch_uuid, account, position, url, status, error, credits_used, finished_at)
      VALUES ('${uuidOf(100 + i)}', '${uuidOf(Number(batch))}', 'default', ${position}, ${literal(url)}, ${literal(status)},
        ${literal(error)}, ${credits}, now() - interval '${10 + i} hours')`)
  }
  await ask(`
    INSERT INTO spidra.batch_results (item_uuid, result, result_text, bytes) VALUES
      ('${uuidOf(106)}', '[{"title":"A","price":1.5,"currency":"EUR"},{"title":"B","price":null},7]', NULL, 70),
      ('${uuidOf(107)}', '{"title":"C","price":3,"currency":"USD","more":[]}', NULL, 50),
      ('${uuidOf(108)}', '17', NULL, 2), ('${uuidOf(109)}', NULL, 'a text', 6);
    INSERT INTO spidra.batch_reads (uuid, account, status, completed_count, failed_count, outcome, has_results, items, credits)
    SELECT batch_uuid, 'default', 'completed', 0, 0, 'complete', true, count(*), sum(credits_used)
    FROM spidra.batch_items GROUP BY batch_uuid;
    UPDATE spidra.batch_reads SET outcome = 'incomplete', reason = '1 items, where 4 are counted', read_at = now() - interval '1 day'
    WHERE uuid = '${uuidOf(5)}';
    INSERT INTO spidra.results_due (uuid, account, created_at) VALUES ('${uuidOf(6)}', 'default', now() - interval '3 days');
    UPDATE spidra.sync_state SET results_mode = 'full', results_per_run = 50, results_noted_to = '-infinity',
      results_complete_at = now() - interval '1 hour'`)
}

/** Formats a table as text that does not depend on the time: days count from today, other instants from now. */
export function toStableText(rows: readonly QueryResultRow[], now: Date): string {
  return rows
    .map((row) =>
      Object.entries(row)
        .map(([column, value]) => `${column}=${toStableValue(value, now)}`)
        .join(' | '),
    )
    .join('\n')
}

function toStableValue(value: unknown, now: Date): string {
  if (value instanceof Date) return `now${(value.getTime() - now.getTime()) / 1000}s`
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value)) {
    return `today${(Date.parse(value) - Date.parse(now.toISOString().slice(0, 10))) / 86_400_000}`
  }
  return String(value)
}
