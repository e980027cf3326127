import { TIMING } from '../config/scale.js'
import type { Database } from './client.js'

/** What the freshness of an account is decided on. All instants are by the clock of the database. */
export interface FreshnessFacts {
  readonly asOf: Date
  readonly lastCompleteAt: Date | null
  /**
   * When the first of the runs ended that were `failed` or `partial` since the last good one; null when there is none.
   * Good is a run that was complete, or left the first pass unfinished. Aborted runs count neither way.
   */
  readonly failingSince: Date | null
  /** The run under way; null when there is none, or its worker is gone. */
  readonly running: {
    readonly startedAt: Date
    /** It has stored more new jobs than the last run that failed: it got further. */
    readonly isAdvancing: boolean
  } | null
}

interface Row extends Omit<FreshnessFacts, 'running'> {
  readonly runningSince: Date | null
  readonly isAdvancing: boolean
}

/** Reads the facts in one statement. An account that the database does not know has none. */
export async function readFreshnessFacts(
  db: Database,
  account: string,
  deadAfterMs = TIMING.deadAfterMs,
): Promise<FreshnessFacts> {
  const [row] = await db.$queryRaw<Row[]>`
    SELECT clock_timestamp() AS "asOf", s.last_complete_at AS "lastCompleteAt", first.finished_at AS "failingSince",
      running.started_at AS "runningSince",
      coalesce(running.inserted > coalesce(last.inserted, 0), false) AS "isAdvancing"
    FROM (SELECT ${account}::text AS account) a
    LEFT JOIN spidra.sync_state s ON s.account = a.account
    LEFT JOIN LATERAL (
      SELECT r.started_at FROM spidra.sync_runs r
      WHERE r.account = a.account AND (r.status = 'complete' OR r.status_reason = 'first_pass_unfinished')
      ORDER BY r.started_at DESC LIMIT 1
    ) good ON true
    LEFT JOIN LATERAL (
      SELECT r.finished_at FROM spidra.sync_runs r
      WHERE r.account = a.account AND r.status IN ('failed', 'partial')
        AND r.started_at > coalesce(good.started_at, '-infinity')
      ORDER BY r.started_at LIMIT 1
    ) first ON true
    LEFT JOIN LATERAL (
      SELECT r.inserted FROM spidra.sync_runs r
      WHERE r.account = a.account AND r.status IN ('failed', 'partial')
        AND r.started_at > coalesce(good.started_at, '-infinity')
      ORDER BY r.started_at DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (
      SELECT r.started_at, r.inserted FROM spidra.sync_runs r
      WHERE r.account = a.account AND r.status = 'running'
        AND r.heartbeat_at > now() - make_interval(secs => ${deadAfterMs / 1000})
      ORDER BY r.started_at DESC LIMIT 1
    ) running ON true`
  if (row === undefined) throw new Error('Postgres returned no facts')
  const { runningSince, isAdvancing, ...facts } = row
  return { ...facts, running: runningSince === null ? null : { startedAt: runningSince, isAdvancing } }
}
