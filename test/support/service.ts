import { expect } from 'vitest'
import { type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { API_KEY } from './cli.js'
import type { TestDatabase } from './test-database.js'

/** An account without a rate limit that opens with the key of `serviceEnv`. */
export const simulateFor = (options: SimulatorOptions = {}) =>
  startSimulator({ jobs: 120, key: API_KEY, rateLimit: 'off', ...options })

/** A service that runs at its start, and next at some other time of the year. */
export const serviceEnv = (api: { readonly url: string }, database: { readonly url: string }) => ({
  ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url, HTTP_PORT: 'off' },
  ...{ SYNC_SCHEDULE: '0 0 29 2 *', FULL_SYNC_SCHEDULE: 'off', RATE_LIMIT_REQUESTS: 'off' },
})

/** What a busy machine may take, where only the order of things is claimed. */
export const PATIENCE = { timeout: 40_000, interval: 50 }

export const runsOf = ({ sql }: TestDatabase) =>
  sql<{ status: string; error_code: string | null }>('SELECT status, error_code FROM spidra.sync_runs ORDER BY id')

/** The process number of the worker whose run is under way; null when there is none. */
export async function runningWorker({ sql }: TestDatabase): Promise<number | null> {
  const [row] = await sql<{ worker: string }>("SELECT worker FROM spidra.sync_runs WHERE status = 'running'")
  return row === undefined ? null : Number(row.worker.split(':').at(-1))
}

/** Runs that overlap with a later one, or that are not ended, or end before they begin. */
export const crookedRuns = ({ sql }: TestDatabase) =>
  sql(`SELECT a.id, a.worker, a.status, b.id AS other FROM spidra.sync_runs a LEFT JOIN spidra.sync_runs b
       ON b.id <> a.id AND b.started_at < a.finished_at AND a.started_at < b.finished_at
       WHERE b.id IS NOT NULL OR a.status = 'running' OR a.finished_at IS NULL OR a.finished_at < a.started_at`)

/** Locks of the account and of migrations that are held or waited for in the database. */
const advisoryLocks = ({ sql }: TestDatabase) =>
  sql(`SELECT pid, classid, objid, granted FROM pg_locks
       WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)

/** Waits until no process of ours holds or waits for a lock any more: Postgres notices a dead client in its own time. */
export const untilNoLocks = (database: TestDatabase) => expect.poll(() => advisoryLocks(database), PATIENCE).toEqual([])
