import { setTimeout as sleep } from 'node:timers/promises'
import type { TestDatabase } from '../support/test-database.js'
import type { JudgedRun } from './judge.js'

/** Whatever run is waited for has ended long before, in milliseconds. */
export const PATIENCE_MS = 180_000

/** Between two looks into the table of runs. */
const LOOK_MS = 100

export const RUN_COLUMNS = `id::integer AS id, mode, status, coalesce(status_reason, error_code) AS reason,
  error_message AS message, requests, retries`

/**
 * The first run that starts from now on and has that mode (null: any), when it has ended. Null: it did not in time.
 *
 * @throws the signal's reason when it aborts.
 */
export async function nextRun(
  { sql }: TestDatabase,
  mode: 'full' | null,
  signal: AbortSignal,
): Promise<JudgedRun | null> {
  const [latest] = await sql<{ id: number }>('SELECT coalesce(max(id), 0)::integer AS id FROM spidra.sync_runs')
  const giveUpAt = performance.now() + PATIENCE_MS
  while (performance.now() < giveUpAt) {
    const [run] = await sql<JudgedRun>(
      `SELECT ${RUN_COLUMNS} FROM spidra.sync_runs WHERE id > $1 AND ($2::text IS NULL OR mode = $2) ORDER BY id LIMIT 1`,
      [latest?.id ?? 0, mode],
    )
    if (run !== undefined && run.status !== 'running') return run
    await sleep(LOOK_MS, undefined, { signal })
  }
  return null
}
