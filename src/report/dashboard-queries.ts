import { z } from 'zod'
import { JOB_QUESTIONS } from './job-questions.js'
import { count, instant, NO_CHANNEL, number, question, text } from './question.js'

/** Every number and table of the dashboard comes from one of these. */
export const QUESTIONS = {
  freshness: question({
    title: 'How fresh is this?',
    parameters: ['account'],
    sql: `SELECT now() AS read_at, f.complete_as_of, f.every_job_reread_since, f.lag_seconds, f.next_run_at,
  f.listed_jobs, f.stored_jobs, f.open_rejections, r.status, r.reason, r.error_message, r.started_at, r.jobs_read, r.pages_read
FROM (SELECT $1::text AS account) a
LEFT JOIN spidra_reporting.sync_freshness f USING (account)
LEFT JOIN spidra_reporting.sync_run_history r ON r.id = f.last_run_id`,
    row: z.object({
      read_at: z.date(),
      complete_as_of: instant,
      every_job_reread_since: instant,
      lag_seconds: number,
      next_run_at: instant,
      listed_jobs: number,
      stored_jobs: number,
      open_rejections: count.nullable(),
      status: text,
      reason: text,
      error_message: text,
      started_at: instant,
      jobs_read: number,
      pages_read: number,
    }),
  }),
  days: question({
    title: 'Jobs and URLs by day; the last row is the whole period',
    parameters: ['account', 'channel', 'days'],
    sql: `SELECT to_char(day, 'YYYY-MM-DD') AS day, sum(jobs)::bigint AS jobs, sum(succeeded_jobs)::bigint AS succeeded_jobs,
  sum(partly_failed_jobs)::bigint AS partly_failed_jobs, sum(failed_jobs)::bigint AS failed_jobs,
  sum(cancelled_jobs)::bigint AS cancelled_jobs, sum(open_jobs)::bigint AS open_jobs, sum(urls)::bigint AS urls,
  sum(completed_urls)::bigint AS completed_urls, sum(failed_urls)::bigint AS failed_urls,
  sum(completed_urls)::double precision / nullif(sum(completed_urls) + sum(failed_urls), 0) AS success_rate
FROM spidra_reporting.daily_batch_jobs
WHERE account = $1 AND ($2::text IS NULL OR coalesce(scraping_channel, '${NO_CHANNEL}') = $2)
  AND day > (now() AT TIME ZONE 'UTC')::date - $3::int
GROUP BY GROUPING SETS ((day), ())
ORDER BY day`,
    row: z.object({
      day: text,
      jobs: count.nullable(),
      succeeded_jobs: count.nullable(),
      partly_failed_jobs: count.nullable(),
      failed_jobs: count.nullable(),
      cancelled_jobs: count.nullable(),
      open_jobs: count.nullable(),
      urls: count.nullable(),
      completed_urls: count.nullable(),
      failed_urls: count.nullable(),
      success_rate: number,
    }),
  }),
  // A percentile over a million jobs takes seconds, over a part that was chosen evenly a few hundred milliseconds. So the
  // first `slice` minutes of every `step` are read, each by the index; LIMIT keeps the planner from reading the whole
  // table for every slice.
  durations: question({
    title: 'Seconds from created to finished, by day; the last row is the whole period',
    parameters: ['account', 'channel', 'days', 'step', 'slice'],
    sql: `SELECT to_char(j.created_date, 'YYYY-MM-DD') AS day, count(j.duration_seconds) AS finished_jobs,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY j.duration_seconds) AS p50_seconds,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY j.duration_seconds) AS p95_seconds
FROM generate_series(((now() AT TIME ZONE 'UTC')::date - $3::int + 1)::timestamp AT TIME ZONE 'UTC', now(),
  make_interval(mins => $4::int)) AS start
CROSS JOIN LATERAL (
  SELECT b.created_date, b.duration_seconds FROM spidra_reporting.batch_jobs b
  WHERE b.account = $1 AND ($2::text IS NULL OR coalesce(b.scraping_channel, '${NO_CHANNEL}') = $2)
    AND b.created_at >= start AND b.created_at < start + make_interval(mins => $5::int)
  LIMIT 1000000000
) j
GROUP BY GROUPING SETS ((j.created_date), ())
ORDER BY j.created_date`,
    row: z.object({ day: text, finished_jobs: count, p50_seconds: number, p95_seconds: number }),
  }),
  runs: question({
    title: 'The last runs',
    parameters: ['account'],
    sql: `SELECT id, mode, trigger, status, reason, error_message, started_at, duration_seconds, requests, retries, waited_seconds,
  jobs_read, inserted, updated, removed
FROM spidra_reporting.sync_run_history
WHERE account = $1
ORDER BY started_at DESC, id DESC LIMIT 288`,
    row: z.object({
      id: count,
      mode: z.string(),
      trigger: z.string(),
      status: z.string(),
      reason: text,
      error_message: text,
      started_at: z.date(),
      duration_seconds: z.number(),
      requests: z.number(),
      retries: z.number(),
      waited_seconds: z.number(),
      jobs_read: z.number(),
      inserted: z.number(),
      updated: z.number(),
      removed: z.number(),
    }),
  }),
  ...JOB_QUESTIONS,
  budget: question({
    title: 'Requests left, as the API last told',
    parameters: ['account'],
    sql: `SELECT rate_limit, rate_remaining, rate_reset_at
FROM spidra.sync_state WHERE account = $1`,
    row: z.object({ rate_limit: number, rate_remaining: number, rate_reset_at: instant }),
  }),
} as const

/** Names for the filters. */
export const CHOICES = {
  accounts: question({
    title: 'Accounts',
    parameters: [],
    sql: 'SELECT account AS name FROM spidra_reporting.sync_freshness ORDER BY account LIMIT 100',
    row: z.object({ name: z.string() }),
  }),
  channels: question({
    title: 'Channels',
    parameters: ['account'],
    sql: `SELECT DISTINCT coalesce(scraping_channel, '${NO_CHANNEL}') AS name
FROM spidra.daily_totals WHERE account = $1 ORDER BY name LIMIT 100`,
    row: z.object({ name: z.string() }),
  }),
} as const
