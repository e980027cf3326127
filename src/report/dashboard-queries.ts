import { z } from 'zod'

/** A value that stands for `$1`, `$2`, ... in a query. */
export type Parameter =
  | 'account'
  | 'channel'
  | 'days'
  | 'step'
  | 'slice'
  | 'uuidFrom'
  | 'uuidTo'
  | 'status'
  | 'position'

/** A query of the dashboard. The page shows the same text that was run. */
export interface Query<Row extends z.ZodType = z.ZodType> {
  readonly title: string
  readonly sql: string
  /** In the order of `$1`, `$2`, ... */
  readonly parameters: readonly Parameter[]
  readonly row: Row
}

/** The filter value for jobs without a channel. */
const NO_CHANNEL = '(none)'

const count = z.bigint().transform(Number)
const number = z.number().nullable()
const instant = z.date().nullable()
const text = z.string().nullable()

/** Returns the query, typed by its row. */
function query<Row extends z.ZodType>(definition: Query<Row>): Query<Row> {
  return definition
}

const OPEN_COLUMNS = `uuid, status, scraping_channel, total_urls, completed_count, failed_count, progress, age_seconds,
  seconds_without_progress, count(*) OVER () AS jobs_in_all`

const openJob = z.object({
  uuid: z.string(),
  status: z.string(),
  scraping_channel: text,
  total_urls: z.number(),
  completed_count: z.number(),
  failed_count: z.number(),
  progress: number,
  age_seconds: z.number(),
  seconds_without_progress: number,
  jobs_in_all: count,
})

/** Queries about single jobs. */
const JOB_QUERIES = {
  open: query({
    title: 'Open jobs, oldest first',
    parameters: ['account', 'channel'],
    sql: `SELECT ${OPEN_COLUMNS}
FROM spidra_reporting.open_batch_jobs
WHERE account = $1 AND ($2::text IS NULL OR coalesce(scraping_channel, '${NO_CHANNEL}') = $2)
ORDER BY created_at, uuid LIMIT 20`,
    row: openJob,
  }),
  stuck: query({
    title: 'Stuck jobs, longest first',
    parameters: ['account', 'channel'],
    sql: `SELECT ${OPEN_COLUMNS}
FROM spidra_reporting.stuck_batch_jobs
WHERE account = $1 AND ($2::text IS NULL OR coalesce(scraping_channel, '${NO_CHANNEL}') = $2)
ORDER BY seconds_without_progress DESC, uuid LIMIT 20`,
    row: openJob,
  }),
  changes: query({
    title: 'The latest changes of status, among the last 500 of the account',
    parameters: ['account', 'channel', 'days'],
    sql: `SELECT c.uuid, c.from_status, c.to_status, c.changed_at, c.seconds_in_from_status, c.is_reopened
FROM (
  SELECT id, uuid, from_status, to_status, changed_at, seconds_in_from_status, is_reopened
  FROM spidra_reporting.status_changes
  WHERE account = $1 AND changed_at > now() - make_interval(days => $3::int)
  ORDER BY changed_at DESC LIMIT 500
) c
LEFT JOIN spidra_reporting.batch_jobs b USING (uuid)
WHERE $2::text IS NULL OR coalesce(b.scraping_channel, '${NO_CHANNEL}') = $2
ORDER BY c.changed_at DESC, c.id DESC LIMIT 15`,
    row: z.object({
      uuid: z.string(),
      from_status: z.string(),
      to_status: z.string(),
      changed_at: z.date(),
      seconds_in_from_status: number,
      is_reopened: z.boolean(),
    }),
  }),
  rejections: query({
    title: 'Listed items that could not be stored as jobs',
    parameters: ['account'],
    sql: `SELECT uuid, reason, copies, first_rejected_at, last_rejected_at, count(*) OVER () AS items_in_all
FROM spidra_reporting.rejected_items
WHERE account = $1 AND resolved_at IS NULL
ORDER BY last_rejected_at DESC, id DESC LIMIT 15`,
    row: z.object({
      uuid: text,
      reason: z.string(),
      copies: z.number(),
      first_rejected_at: z.date(),
      last_rejected_at: z.date(),
      items_in_all: count,
    }),
  }),
} as const

const FRESHNESS_COLUMNS = `f.complete_as_of, f.every_job_reread_since, f.lag_seconds, f.next_run_at,
  f.listed_jobs, f.stored_jobs, f.open_rejections, f.results_due, r.status, r.reason, r.error_message, r.started_at, r.jobs_read, r.pages_read`

const freshness = z.object({
  read_at: z.date(),
  complete_as_of: instant,
  every_job_reread_since: instant,
  lag_seconds: number,
  next_run_at: instant,
  listed_jobs: number,
  stored_jobs: number,
  open_rejections: count.nullable(),
  results_due: count.nullable(),
  status: text,
  reason: text,
  error_message: text,
  started_at: instant,
  jobs_read: number,
  pages_read: number,
})

/** The queries that every number and table of an account's page comes from. */
export const QUERIES = {
  freshness: query({
    title: 'How fresh is this?',
    parameters: ['account'],
    sql: `SELECT now() AS read_at, ${FRESHNESS_COLUMNS}
FROM (SELECT $1::text AS account) a
LEFT JOIN spidra_reporting.sync_freshness f USING (account)
LEFT JOIN spidra_reporting.sync_run_history r ON r.id = f.last_run_id`,
    row: freshness,
  }),
  stock: query({
    title: 'Stored jobs that are still listed, of all days',
    parameters: ['account', 'channel'],
    sql: `SELECT count(*) AS jobs, (
  SELECT count(*) FROM spidra_reporting.open_batch_jobs
  WHERE account = $1 AND ($2::text IS NULL OR coalesce(scraping_channel, '${NO_CHANNEL}') = $2)
) AS open_jobs
FROM spidra_reporting.batch_jobs
WHERE account = $1 AND ($2::text IS NULL OR coalesce(scraping_channel, '${NO_CHANNEL}') = $2)`,
    row: z.object({ jobs: count, open_jobs: count }),
  }),
  // The join keeps a day on which the channel has no jobs.
  days: query({
    title: 'Jobs and URLs by day; the last row is the whole period',
    parameters: ['account', 'channel', 'days'],
    sql: `SELECT to_char(d.day, 'YYYY-MM-DD') AS day, coalesce(sum(c.jobs), 0)::bigint AS jobs,
  coalesce(sum(c.succeeded_jobs), 0)::bigint AS succeeded_jobs,
  coalesce(sum(c.partly_failed_jobs), 0)::bigint AS partly_failed_jobs, coalesce(sum(c.failed_jobs), 0)::bigint AS failed_jobs,
  coalesce(sum(c.cancelled_jobs), 0)::bigint AS cancelled_jobs, coalesce(sum(c.open_jobs), 0)::bigint AS open_jobs,
  coalesce(sum(c.urls), 0)::bigint AS urls, coalesce(sum(c.completed_urls), 0)::bigint AS completed_urls,
  coalesce(sum(c.failed_urls), 0)::bigint AS failed_urls,
  sum(c.completed_urls)::double precision / nullif(sum(c.completed_urls) + sum(c.failed_urls), 0) AS success_rate
FROM spidra_reporting.daily_batch_jobs d
LEFT JOIN LATERAL (SELECT d.* WHERE $2::text IS NULL OR coalesce(d.scraping_channel, '${NO_CHANNEL}') = $2) c ON true
WHERE d.account = $1 AND d.day > (now() AT TIME ZONE 'UTC')::date - $3::int
GROUP BY GROUPING SETS ((d.day), ())
ORDER BY day`,
    row: z.object({
      day: text,
      jobs: count,
      succeeded_jobs: count,
      partly_failed_jobs: count,
      failed_jobs: count,
      cancelled_jobs: count,
      open_jobs: count,
      urls: count,
      completed_urls: count,
      failed_urls: count,
      success_rate: number,
    }),
  }),
  // A percentile over a million jobs takes seconds, over an even sample a few hundred milliseconds. So the first `slice`
  // minutes of every `step` are read, each by the index; LIMIT keeps the planner from reading the whole table for every
  // slice.
  durations: query({
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
  runs: query({
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
  ...JOB_QUERIES,
  alerts: query({
    title: 'Firing alerts, oldest first',
    parameters: ['account'],
    sql: `SELECT kind, since, summary
FROM spidra_reporting.sync_alerts
WHERE account = $1 AND state = 'firing'
ORDER BY since, kind`,
    row: z.object({ kind: z.string(), since: z.date(), summary: z.string() }),
  }),
  budget: query({
    title: 'Requests left, as the API last reported',
    parameters: ['account'],
    sql: `SELECT rate_limit, rate_remaining, rate_reset_at
FROM spidra_reporting.request_budget WHERE account = $1`,
    row: z.object({ rate_limit: number, rate_remaining: number, rate_reset_at: instant }),
  }),
} as const

/** The queries about the results of batches, which are asked only where they are kept. */
export const RESULT_QUERIES = {
  failing_hosts: query({
    title: 'Hosts of which URLs failed in the last 30 days, of all channels',
    parameters: ['account'],
    sql: `SELECT host, error, urls, last_seen_at, count(*) OVER () AS rows_in_all
FROM spidra_reporting.failing_hosts
WHERE account = $1
ORDER BY urls DESC, host, error LIMIT 10`,
    row: z.object({ host: text, error: text, urls: count, last_seen_at: z.date(), rows_in_all: count }),
  }),
  credits: query({
    title: 'Credits by the day on which the jobs were created, as far as their items have been read',
    parameters: ['account', 'channel', 'days'],
    // Not of daily_credits: a range of batch_created_at has an index, a range of its days has none.
    sql: `SELECT to_char(batch_created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*) AS jobs, sum(urls)::bigint AS urls,
  sum(credits) AS credits
FROM spidra_reporting.batch_reads
WHERE account = $1 AND ($2::text IS NULL OR coalesce(scraping_channel, '${NO_CHANNEL}') = $2)
  AND batch_created_at >= ((now() AT TIME ZONE 'UTC')::date - $3::int + 1)::timestamp AT TIME ZONE 'UTC'
GROUP BY 1
ORDER BY 1`,
    row: z.object({ day: z.string(), jobs: count, urls: count, credits: z.number() }),
  }),
} as const

/** The query of the overview: one statement, however many accounts there are. */
export const OVERVIEW = query({
  title: 'All accounts',
  parameters: [],
  sql: `SELECT now() AS read_at, f.account, ${FRESHNESS_COLUMNS}, coalesce(d.jobs, 0) AS jobs,
  coalesce(o.open_jobs, 0) AS open_jobs, coalesce(o.stuck_jobs, 0) AS stuck_jobs, a.alerts,
  r.finished_at, r.requests, r.waited_seconds, r.latest_total, r.waits_until, r.worker, b.rate_limit, b.rate_remaining, b.rate_reset_at
FROM spidra_reporting.sync_freshness f
LEFT JOIN spidra_reporting.sync_run_history r ON r.id = f.last_run_id
LEFT JOIN spidra_reporting.request_budget b ON b.account = f.account
LEFT JOIN (SELECT account, count(*) AS jobs FROM spidra_reporting.batch_jobs GROUP BY account) d
  ON d.account = f.account
LEFT JOIN (
  SELECT account, count(*) AS open_jobs,
    count(*) FILTER (WHERE seconds_without_progress > stuck_after_hours * 3600) AS stuck_jobs
  FROM spidra_reporting.open_batch_jobs GROUP BY account
) o ON o.account = f.account
LEFT JOIN (
  SELECT account, string_agg(kind, ', ' ORDER BY since, kind) AS alerts
  FROM spidra_reporting.sync_alerts WHERE state = 'firing' GROUP BY account
) a ON a.account = f.account
ORDER BY f.account LIMIT 1000`,
  row: freshness.extend({
    ...{ account: z.string(), jobs: count, open_jobs: count, stuck_jobs: count, alerts: text },
    ...{ finished_at: instant, requests: number, waited_seconds: number, latest_total: number, waits_until: instant },
    worker: text,
    ...{ rate_limit: number, rate_remaining: number, rate_reset_at: instant },
  }),
})

/** The jobs on one page. */
export const JOBS_ON_PAGE = 50

/** The parts of a search that are given. */
export interface SearchedParts {
  readonly hasUuid: boolean
  readonly hasStatus: boolean
  /** From the job of `position` on, towards older or newer jobs; null: from the newest job. */
  readonly direction: 'before' | 'after' | null
}

/**
 * Composes the query of a page of jobs. Only the parts that are given have a condition, so that the planner chooses the index of
 * what is searched. One row more than a page says whether there are others.
 */
export function jobsQuery({ hasUuid, hasStatus, direction }: SearchedParts) {
  const parameters: Parameter[] = ['account']
  const add = (name: Parameter) => `$${parameters.push(name)}`
  const conditions = ['account = $1']
  if (hasUuid) conditions.push(`uuid BETWEEN ${add('uuidFrom')}::uuid AND ${add('uuidTo')}::uuid`)
  if (hasStatus) conditions.push(`status = ${add('status')}`)
  if (direction !== null) {
    const position = `${add('position')}::uuid`
    const start = `(SELECT created_at FROM spidra_reporting.batch_jobs WHERE uuid = ${position})`
    const [older, larger] = direction === 'before' ? ['<', '>'] : ['>', '<']
    conditions.push(`created_at ${older}= ${start}`, `(created_at ${older} ${start} OR uuid ${larger} ${position})`)
  }
  const order = direction === 'after' ? 'created_at, uuid DESC' : 'created_at DESC, uuid'
  return query({
    title: 'Jobs, newest first',
    parameters,
    sql: `SELECT now() AS read_at, uuid, status, total_urls, completed_count, failed_count, scraping_channel, created_at, duration_seconds
FROM spidra_reporting.batch_jobs
WHERE ${conditions.join('\n  AND ')}
ORDER BY ${order} LIMIT ${JOBS_ON_PAGE + 1}`,
    row: z.object({
      read_at: z.date(),
      uuid: z.string(),
      status: z.string(),
      total_urls: z.number(),
      completed_count: z.number(),
      failed_count: z.number(),
      scraping_channel: text,
      created_at: z.date(),
      duration_seconds: number,
    }),
  })
}

/** The queries for the names in the filters. */
export const CHOICES = {
  accounts: query({
    title: 'Accounts',
    parameters: [],
    sql: 'SELECT account AS name FROM spidra_reporting.sync_freshness ORDER BY account LIMIT 100',
    row: z.object({ name: z.string() }),
  }),
  channels: query({
    title: 'Channels',
    parameters: ['account'],
    sql: `SELECT DISTINCT coalesce(scraping_channel, '${NO_CHANNEL}') AS name
FROM spidra.daily_totals WHERE account = $1 ORDER BY name LIMIT 100`,
    row: z.object({ name: z.string() }),
  }),
} as const
