import { expect } from 'vitest'
import { type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { API_KEY } from './cli.js'
import type { TestDatabase } from './test-database.js'

/** Starts a simulator without a rate limit, with the API key of `serviceEnv`. */
export const simulateFor = (options: SimulatorOptions = {}) =>
  startSimulator({ jobs: 120, key: API_KEY, rateLimit: 'off', ...options })

/** The environment of a service that runs once at its start, and next on 29 February. */
export const serviceEnv = (api: { readonly url: string }, database: { readonly url: string }) => ({
  ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url, HTTP_PORT: 'off' },
  ...{ SYNC_SCHEDULE: '0 0 29 2 *', FULL_SYNC_SCHEDULE: 'off', RATE_LIMIT_REQUESTS: 'off' },
})

/** Long enough for a busy machine, in tests that claim only an order of events. */
export const PATIENCE = { timeout: 40_000, interval: 50 }

export const runsOf = ({ sql }: TestDatabase) =>
  sql<{ status: string; error_code: string | null }>('SELECT status, error_code FROM spidra.sync_runs ORDER BY id')

/** The process id of the worker whose run is under way; null if there is none. */
export async function runningWorker({ sql }: TestDatabase): Promise<number | null> {
  const [row] = await sql<{ worker: string }>("SELECT worker FROM spidra.sync_runs WHERE status = 'running'")
  return row === undefined ? null : Number(row.worker.split(':').at(-1))
}

/** Finds runs that overlap with another one, have not ended, or ended before they began. */
export const crookedRuns = ({ sql }: TestDatabase) =>
  sql(`SELECT a.id, a.worker, a.status, b.id AS other FROM spidra.sync_runs a LEFT JOIN spidra.sync_runs b
       ON b.id <> a.id AND b.started_at < a.finished_at AND a.started_at < b.finished_at
       WHERE b.id IS NOT NULL OR a.status = 'running' OR a.finished_at IS NULL OR a.finished_at < a.started_at`)

/** Finds the advisory locks, of accounts and migrations, that are held or waited for. */
const advisoryLocks = ({ sql }: TestDatabase) =>
  sql(`SELECT pid, classid, objid, granted FROM pg_locks
       WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)

/** Waits until nobody holds or waits for a lock: Postgres notices a dead client only after some time. */
export const untilNoLocks = (database: TestDatabase) => expect.poll(() => advisoryLocks(database), PATIENCE).toEqual([])
