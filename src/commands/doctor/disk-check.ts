import type { ReadOnlyConnection } from '../../db/read-only.js'
import { formatNumber } from '../../logging/printable.js'
import { type Finding, ok, warn } from './check.js'

/** Bytes of a row with its indexes, used for a table with few rows. Measured on 100,000 rows and more of each. */
const USUAL_BYTES = { jobs: 240, runs: 210, events: 210 } as const

/** With fewer rows, the size of a table says nothing about the size of a row. */
const MIN_ROWS = 10_000

/** The service deletes old history once a day. When a run is older than due by this, the service does not delete. */
const PRUNING_LATE_DAYS = 2

interface Disk {
  readonly databaseBytes: number
  readonly ourBytes: number
  readonly jobBytes: number
  readonly jobRows: number
  readonly runBytes: number
  readonly runRows: number
  readonly eventBytes: number
  readonly eventRows: number
  /** Days that `recentJobs` counts: at most 30, fewer for a young account. */
  readonly jobDays: number
  readonly recentJobs: number
  /** Days that `recentRuns` and `recentEvents` count: at most 7. Null before the first run. */
  readonly runDays: number | null
  readonly recentRuns: number
  readonly recentEvents: number
  readonly oldestRunDays: number | null
}

/** reltuples is -1 before the first ANALYZE. */
const READ_DISK = `
  WITH size AS (
    SELECT relname, pg_total_relation_size(oid)::double precision AS bytes, greatest(reltuples, 0)::double precision AS n
    FROM pg_class WHERE relnamespace = 'spidra'::regnamespace AND relkind = 'r'
  ), days AS (
    SELECT least(30, current_date - min(day) + 1)::double precision AS n FROM spidra.daily_totals
  ), runs AS (
    SELECT min(started_at) AS first FROM spidra.sync_runs
  ), since AS (
    SELECT greatest(first, now() - interval '7 days') AS moment FROM runs WHERE first IS NOT NULL
  )
  SELECT pg_database_size(current_database())::double precision AS "databaseBytes",
    (SELECT sum(bytes) FROM size) AS "ourBytes",
    jobs.bytes AS "jobBytes", jobs.n AS "jobRows", runs_size.bytes AS "runBytes", runs_size.n AS "runRows",
    events.bytes AS "eventBytes", events.n AS "eventRows",
    coalesce((SELECT n FROM days), 0) AS "jobDays",
    (SELECT coalesce(sum(jobs), 0)::double precision FROM spidra.daily_totals WHERE day > current_date - 30) AS "recentJobs",
    (SELECT extract(epoch FROM now() - moment)::double precision / 86400 FROM since) AS "runDays",
    (SELECT count(*)::double precision FROM spidra.sync_runs, since WHERE started_at >= moment) AS "recentRuns",
    (SELECT count(*)::double precision FROM spidra.batch_job_events, since WHERE observed_at >= moment) AS "recentEvents",
    (SELECT extract(epoch FROM now() - first)::double precision / 86400 FROM runs) AS "oldestRunDays"
  FROM size jobs, size runs_size, size events
  WHERE jobs.relname = 'batch_jobs' AND runs_size.relname = 'sync_runs' AND events.relname = 'batch_job_events'`

/** Checks the size of the tables, and forecasts their growth, for all accounts together. */
export async function checkDisk(connection: ReadOnlyConnection, historyDays: number): Promise<Finding> {
  const { rows } = await connection.query<Disk & Record<string, unknown>>(READ_DISK)
  const [disk] = rows
  if (disk === undefined) return ok('No tables yet.')
  const sizes = `Our tables take ${inBytes(disk.ourBytes)}, the database ${inBytes(disk.databaseBytes)}.`
  const found = `${sizes} ${toForecast(disk, historyDays)}`
  if (disk.oldestRunDays === null || disk.oldestRunDays <= historyDays + PRUNING_LATE_DAYS) return ok(found)
  return warn(
    `${found} The oldest run is ${Math.floor(disk.oldestRunDays)} days old, and HISTORY_DAYS is ${historyDays}.`,
    'Only the service (`spidra-sync start`) deletes old history; leave it running.',
  )
}

/** Forecasts the size. Jobs are kept for ever; runs and events for `historyDays`, and do not grow after that. */
function toForecast(disk: Disk, historyDays: number): string {
  if (disk.runDays === null || disk.runDays < 1) return 'Growth can be forecast a day after the first run.'
  const jobs = disk.jobDays === 0 ? 0 : disk.recentJobs / disk.jobDays
  const [runs, events] = [disk.recentRuns / disk.runDays, disk.recentEvents / disk.runDays]
  const jobBytes = jobs * bytesOf(disk.jobBytes, disk.jobRows, USUAL_BYTES.jobs) * historyDays
  const history =
    (runs * bytesOf(disk.runBytes, disk.runRows, USUAL_BYTES.runs) +
      events * bytesOf(disk.eventBytes, disk.eventRows, USUAL_BYTES.events)) *
    historyDays
  const total =
    disk.ourBytes - disk.runBytes - disk.eventBytes + jobBytes + Math.max(history, disk.runBytes + disk.eventBytes)
  const rates = `${count(jobs)} jobs, ${count(runs)} runs and ${count(events)} changes`
  return `A day brings ${rates}: about ${inBytes(total)} in ${historyDays} days.`
}

function bytesOf(bytes: number, rows: number, usual: number): number {
  return rows < MIN_ROWS ? usual : bytes / rows
}

function count(number: number): string {
  return formatNumber(Math.round(number))
}

function inBytes(bytes: number): string {
  const units = ['kB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length, Math.max(1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3)))
  const value = bytes / 1000 ** power
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[power - 1]}`
}
