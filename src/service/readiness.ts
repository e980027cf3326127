import type { Database } from '../db/client.js'
import { isReadOnly } from '../db/client.js'
import { databaseErrorCode } from '../db/connection-error.js'
import { MigrationError, pendingMigrations } from '../db/migrate.js'
import { type FreshnessFacts, readFreshnessFacts } from '../db/sync-runs.js'
import type { Readiness } from '../http/server.js'
import { FRESH_LIMITS, type FreshLimits, toFreshLimitMs } from '../report/freshness.js'

/** How freshness is judged. */
export interface FreshnessRule {
  /** Between two runs, in milliseconds; null without a schedule. */
  readonly intervalMs: number | null
  /** Default three intervals, at least 15 minutes. */
  readonly limits?: FreshLimits
}

/**
 * What `/readyz` says: the database answers and takes writes, the migrations are applied, the schedules are armed, and
 * the table of the account is fresh (`decideFreshness`).
 *
 * @param options `account` null: freshness is not asked for.
 */
export async function checkReadiness(
  db: Database,
  options: FreshnessRule & { readonly account: string | null; readonly isArmed: boolean },
): Promise<Readiness> {
  const { account, isArmed } = options
  const schedules = { ok: isArmed, detail: isArmed ? 'armed' : 'not armed' }
  try {
    const pending = await pendingMigrations(db)
    const migrations = {
      ok: pending.length === 0,
      detail: pending.length === 0 ? 'applied' : `pending: ${pending.join(', ')}`,
    }
    const takesWrites = !(await isReadOnly(db))
    const database = { ok: takesWrites, detail: takesWrites ? 'answers' : 'is read-only' }
    if (pending.length > 0 || account === null) return { database, migrations, schedules }
    const facts = await readFreshnessFacts(db, account)
    // By the clock that wrote them: another one makes a table fresher or staler than it is.
    return { database, migrations, schedules, freshness: decideFreshness(facts, options, facts.asOf) }
  } catch (error) {
    if (!(error instanceof MigrationError)) return { database: { ok: false, detail: refusal(error) }, schedules }
    const migrations = { ok: false, detail: `${error.code}: ${error.migration}` }
    return { database: { ok: true, detail: 'answers' }, migrations, schedules }
  }
}

/**
 * Decides whether the table of an account is as fresh as its schedule promises.
 *
 * After the first verdict `complete` the age of the last one alone decides: where a service starts again after a week, the
 * table is stale until its first verdict. Before it, and where no schedule says how often a verdict is due, the runs decide:
 * once the first failure since the last good run is older than the limit, the service is not ready. A first pass may take as
 * long as it takes: while a run is under way the failures get no older, since it may wait for the request budget, and a run
 * that has got further than the last failed one counts as good.
 */
export function decideFreshness(
  { lastCompleteAt, failingSince, running }: Omit<FreshnessFacts, 'asOf'>,
  { intervalMs, limits = FRESH_LIMITS }: FreshnessRule,
  now: Date,
): Readiness[string] {
  const limitMs = toFreshLimitMs(intervalMs ?? 0, limits)
  const verdict = lastCompleteAt === null ? 'no complete run yet' : `complete as of ${lastCompleteAt.toISOString()}`
  if (lastCompleteAt !== null && intervalMs !== null) {
    const isFresh = now.getTime() - lastCompleteAt.getTime() <= limitMs
    return { ok: isFresh, detail: isFresh ? verdict : `${verdict}, more than ${limitMs / 1000} s ago` }
  }
  if (failingSince === null || running?.isAdvancing) return { ok: true, detail: verdict }
  // A run may come to a verdict on its way, and fail after it.
  const since = lastCompleteAt !== null && lastCompleteAt > failingSince ? lastCompleteAt : failingSince
  const failingMs = (running?.startedAt ?? now).getTime() - since.getTime()
  return { ok: failingMs <= limitMs, detail: `${verdict}, and runs have failed since ${since.toISOString()}` }
}

/** Anybody may ask, so it names the kind and not the server. */
function refusal(error: unknown): string {
  const code = databaseErrorCode(error)
  if (code === 'unreachable') return 'does not answer'
  if (code === 'busy') return 'no connection is free'
  return code === 'time_limit' ? 'takes too long' : `refuses: ${code ?? 'other'}`
}
