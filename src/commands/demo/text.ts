import { table } from 'table'
import type { Database } from '../../db/client.js'
import { counted } from '../../logging/printable.js'
import type { RunSummary } from '../../sync/run-summary.js'

/** May read the reporting views, and nothing else. */
export const READER_ROLE = 'spidra_reader'

/** Gives a new answer every few seconds. */
export const SAMPLE_QUERY = `SELECT status, count(*) AS jobs, sum(completed_count) AS urls
FROM spidra_reporting.batch_jobs GROUP BY status ORDER BY jobs DESC;`

/** The URL of the read-only role, the same over restarts. */
export function readerUrl(databaseUrl: string, password: string): string {
  const url = new URL(databaseUrl)
  url.username = READER_ROLE
  url.password = password
  return url.href
}

/** The answer to the sample query, as a table. */
export async function sampleAnswer(db: Database): Promise<string> {
  const rows = await db.$queryRaw<{ status: string; jobs: string; urls: string }[]>`
    SELECT status, count(*)::text AS jobs, sum(completed_count)::text AS urls
    FROM spidra_reporting.batch_jobs GROUP BY status ORDER BY count(*) DESC`
  const cells = [['status', 'jobs', 'urls'], ...rows.map(({ status, jobs, urls }) => [status, jobs, urls])]
  return table(cells, { columns: [{}, { alignment: 'right' }, { alignment: 'right' }], drawHorizontalLine: isFrame })
}

function isFrame(line: number, rows: number): boolean {
  return line <= 1 || line === rows
}

/** What to do with the running demo of one account. */
export function instructions(reader: string, httpUrl: string | null): string {
  return `
From now on jobs arrive, progress, finish and are retried; a run follows every
10 seconds.
${howToAsk(reader, httpUrl)}
`
}

/** Where to ask a running demo, what, and how it ends. */
export function howToAsk(reader: string, httpUrl: string | null): string {
  const http =
    httpUrl === null
      ? ''
      : `\nThe dashboard, the status and the metrics:\n  ${httpUrl}/\n  ${httpUrl}/api/status\n  ${httpUrl}/metrics\n`
  return `
Connect with psql or a BI tool (read-only, the same after a restart):
  psql '${reader}'

And ask, now and again in a minute:
  ${SAMPLE_QUERY.replace('\n', '\n  ')}
${http}
Ctrl-C stops everything.
`
}

/** One run in one line of 80 columns. */
export function runLine(summary: RunSummary, now: Date): string {
  const { status, listedTotal, inserted, updated, restored, removed, requests } = summary
  const time = now.toISOString().slice(11, 19)
  const listed = listedTotal === null ? '' : `${counted(listedTotal, 'job')} listed, `
  const changed = updated + restored + removed
  return `${time} ${status}: ${listed}${inserted} new, ${changed} changed, ${counted(requests, 'request')}\n`
}
