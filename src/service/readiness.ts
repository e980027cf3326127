import type { Database } from '../db/client.js'
import { isReadOnly } from '../db/client.js'
import { databaseErrorCode } from '../db/connection-error.js'
import { MigrationError, pendingMigrations } from '../db/migrate.js'
import { type FreshnessFacts, readFreshnessFacts } from '../db/sync-runs.js'
import type { Readiness } from '../http/server.js'
import { formatDuration } from '../logging/printable.js'
import { FRESH_LIMITS, type FreshLimits, toFreshLimitMs } from '../report/freshness.js'

/** The rule that decides whether a table is fresh. */
interface FreshnessRule {
  /** Time between two runs, in milliseconds; null without a schedule. */
  readonly intervalMs: number | null
  /** Default three intervals, at least 15 minutes. */
  readonly limits?: FreshLimits
}

/**
 * Makes the checks of `/readyz`: the database answers and accepts writes, the migrations are applied, the schedules are
 * armed, and the table of the account is fresh (`decideFreshness`).
 *
 * @param options `account` null: freshness is not checked.
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
    // Ages are measured by the clock of the database, which wrote the timestamps.
    return { database, migrations, schedules, freshness: decideFreshness(facts, options, facts.asOf) }
  } catch (error) {
    if (!(error instanceof MigrationError)) return { database: { ok: false, detail: toDetail(error) }, schedules }
    const migrations = { ok: false, detail: `${error.code}: ${error.migration}` }
    return { database: { ok: true, detail: 'answers' }, migrations, schedules }
  }
}

/**
 * Decides whether the table of an account is as fresh as its schedule promises.
 *
 * After a run that hung and was given up, it is not fresh. Otherwise, with a schedule, the age of the last verdict `complete`
 * decides. A service that starts again after a week is therefore stale until its first verdict.
 *
 * Before the first such verdict, and without a schedule, the failures decide: the service is not ready once the first failure
 * since the last good run is older than the limit. A first pass may take any time. So while a run is under way the failures
 * do not grow older (the run may be waiting for the request budget), and a run that has read further than the last failed
 * one counts as good.
 */
export function decideFreshness(
  { lastCompleteAt, failingSince, running, hasStalled }: Omit<FreshnessFacts, 'asOf'>,
  { intervalMs, limits = FRESH_LIMITS }: FreshnessRule,
  now: Date,
): Readiness[string] {
  const limitMs = toFreshLimitMs(intervalMs ?? 0, limits)
  const verdict = lastCompleteAt === null ? 'no complete run yet' : `complete as of ${lastCompleteAt.toISOString()}`
  if (hasStalled) return { ok: false, detail: `${verdict}, and the last run no longer advanced` }
  if (lastCompleteAt !== null && intervalMs !== null) {
    const isFresh = now.getTime() - lastCompleteAt.getTime() <= limitMs
    return { ok: isFresh, detail: isFresh ? verdict : `${verdict}, more than ${formatDuration(limitMs / 1000)} ago` }
  }
  if (failingSince === null || running?.isAdvancing) return { ok: true, detail: verdict }
  // A run can reach a verdict and fail after it.
  const since = lastCompleteAt !== null && lastCompleteAt > failingSince ? lastCompleteAt : failingSince
  const failingMs = (running?.startedAt ?? now).getTime() - since.getTime()
  return { ok: failingMs <= limitMs, detail: `${verdict}, and runs have failed since ${since.toISOString()}` }
}

/** Names the kind of error only, and not the server: `/readyz` needs no password. */
function toDetail(error: unknown): string {
  const code = databaseErrorCode(error)
  if (code === 'unreachable') return 'does not answer'
  if (code === 'busy') return 'no connection is free'
  return code === 'time_limit' ? 'takes too long' : `refuses: ${code ?? 'other'}`
}
