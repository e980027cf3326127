import type { Database } from '../db/client.js'
import { readDatabaseTime } from '../db/clock.js'
import { databaseErrorCode } from '../db/connection-error.js'
import { MigrationError, pendingMigrations } from '../db/migrate.js'
import { isReadOnly } from '../db/write-mode.js'
import type { Readiness } from '../http/readiness.js'

/** Behind by so many schedule intervals, a table is no longer fresh. */
const STALE_INTERVALS = 3

/** However short the interval, a table is fresh for so long, in milliseconds. */
const MIN_FRESH_MS = 15 * 60_000

/**
 * What `/readyz` says: the database answers and takes writes, the migrations are applied, the schedules are armed, and,
 * once a first pass has ended, the last complete run is not older than three schedule intervals and 15 minutes.
 *
 * @param intervalMs between two incremental runs; null without a schedule.
 */
export async function checkReadiness(
  db: Database,
  options: {
    readonly account: string
    readonly isArmed: boolean
    readonly intervalMs: number | null
  },
): Promise<Readiness> {
  const { account, isArmed, intervalMs } = options
  const schedules = { ok: isArmed, detail: isArmed ? 'armed' : 'not armed' }
  try {
    const pending = await pendingMigrations(db)
    const migrations = {
      ok: pending.length === 0,
      detail: pending.length === 0 ? 'applied' : `pending: ${pending.join(', ')}`,
    }
    const takesWrites = !(await isReadOnly(db))
    const database = { ok: takesWrites, detail: takesWrites ? 'answers' : 'is read-only' }
    if (pending.length > 0) return { database, migrations, schedules }
    const state = await db.syncState.findUnique({ where: { account } })
    const lastCompleteAt = state?.lastCompleteAt ?? null
    // By the clock that wrote it: another one makes a table fresher or staler than it is.
    const now = await readDatabaseTime(db)
    return { database, migrations, schedules, freshness: freshness(lastCompleteAt, intervalMs, now) }
  } catch (error) {
    if (!(error instanceof MigrationError)) return { database: { ok: false, detail: refusal(error) }, schedules }
    const migrations = { ok: false, detail: `${error.code}: ${error.migration}` }
    return { database: { ok: true, detail: 'answers' }, migrations, schedules }
  }
}

/** Anybody may ask, so it names the kind and not the server. */
function refusal(error: unknown): string {
  const code = databaseErrorCode(error)
  return code === 'unreachable' ? 'does not answer' : `refuses: ${code ?? 'other'}`
}

function freshness(lastCompleteAt: Date | null, intervalMs: number | null, now: Date): Readiness[string] {
  if (lastCompleteAt === null) return { ok: true, detail: 'no complete run yet' }
  const ageMs = now.getTime() - lastCompleteAt.getTime()
  const limitMs = Math.max(MIN_FRESH_MS, STALE_INTERVALS * (intervalMs ?? 0))
  return { ok: intervalMs === null || ageMs <= limitMs, detail: `complete as of ${lastCompleteAt.toISOString()}` }
}
