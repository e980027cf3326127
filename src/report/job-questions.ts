import { z } from 'zod'
import { count, NO_CHANNEL, number, question, text } from './question.js'

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

/** Of single jobs. */
export const JOB_QUESTIONS = {
  open: question({
    title: 'Open jobs, oldest first',
    parameters: ['account', 'channel'],
    sql: `SELECT ${OPEN_COLUMNS}
FROM spidra_reporting.open_batch_jobs
WHERE account = $1 AND ($2::text IS NULL OR coalesce(scraping_channel, '${NO_CHANNEL}') = $2)
ORDER BY created_at, uuid LIMIT 20`,
    row: openJob,
  }),
  stuck: question({
    title: 'Stuck jobs, longest first',
    parameters: ['account', 'channel'],
    sql: `SELECT ${OPEN_COLUMNS}
FROM spidra_reporting.stuck_batch_jobs
WHERE account = $1 AND ($2::text IS NULL OR coalesce(scraping_channel, '${NO_CHANNEL}') = $2)
ORDER BY seconds_without_progress DESC, uuid LIMIT 20`,
    row: openJob,
  }),
  changes: question({
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
  rejections: question({
    title: 'Listed items that could not be stored as jobs',
    parameters: ['account'],
    sql: `SELECT uuid, reason, copies, first_rejected_at, last_rejected_at, count(*) OVER () AS items_in_all
FROM spidra.rejected_jobs
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
