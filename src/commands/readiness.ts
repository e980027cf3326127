import type { Database } from '../db/client.js'
import { pendingMigrations } from '../db/migrate.js'
import type { Readiness } from '../http/readiness.js'

/** Behind by so many schedule intervals, a table is no longer fresh. */
const STALE_INTERVALS = 3

/** However short the interval, a table is fresh for so long, in milliseconds. */
const MIN_FRESH_MS = 15 * 60_000

/**
 * What `/readyz` says: the database answers, the migrations are applied, the schedules are armed, and, once a first
 * pass has ended, the last complete run is not older than three schedule intervals and 15 minutes.
 *
 * @param intervalMs between two incremental runs; null without a schedule.
 */
export async function checkReadiness(
  db: Database,
  options: {
    readonly account: string
    readonly isArmed: boolean
    readonly intervalMs: number | null
    readonly now: Date
  },
): Promise<Readiness> {
  const { account, isArmed, intervalMs, now } = options
  const pending = await pendingMigrations(db).catch(() => null)
  const schedules = { ok: isArmed, detail: isArmed ? 'armed' : 'not armed' }
  if (pending === null) return { database: { ok: false, detail: 'does not answer' }, schedules }
  const migrations = {
    ok: pending.length === 0,
    detail: pending.length === 0 ? 'applied' : `pending: ${pending.join(', ')}`,
  }
  const database = { ok: true, detail: 'answers' }
  if (pending.length > 0) return { database, migrations, schedules }
  const state = await db.syncState.findUnique({ where: { account } })
  const lastCompleteAt = state?.lastCompleteAt ?? null
  return { database, migrations, schedules, freshness: freshness(lastCompleteAt, intervalMs, now) }
}

function freshness(lastCompleteAt: Date | null, intervalMs: number | null, now: Date): Readiness[string] {
  if (lastCompleteAt === null) return { ok: true, detail: 'no complete run yet' }
  const ageMs = now.getTime() - lastCompleteAt.getTime()
  const limitMs = Math.max(MIN_FRESH_MS, STALE_INTERVALS * (intervalMs ?? 0))
  return { ok: intervalMs === null || ageMs <= limitMs, detail: `complete as of ${lastCompleteAt.toISOString()}` }
}
