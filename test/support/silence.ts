import { expect } from 'vitest'
import type { TestDatabase } from './test-database.js'

/**
 * Whether to wait for a real minute without a heartbeat, as in `npm run torture`; otherwise the last heartbeat is set
 * back.
 */
const IS_REAL = process.env.REAL_TIME === '1'

/** Suffix for the names of tests. */
export const SILENCE_NOTE = IS_REAL ? ' (waits for a whole minute)' : ''

/** A worker without a heartbeat for a minute counts as dead. */
const SILENCE_MS = 65_000

/** Resolves when the run under way has had no heartbeat for long enough. Its worker must be stopped already. */
export async function untilSilent({ sql }: TestDatabase): Promise<void> {
  if (!IS_REAL)
    await sql("UPDATE spidra.sync_runs SET heartbeat_at = now() - interval '2 minutes' WHERE status = 'running'")
  const silentMs = async () => {
    const [row] = await sql<{ ms: number }>(
      "SELECT 1000 * extract(epoch FROM now() - heartbeat_at)::float8 AS ms FROM spidra.sync_runs WHERE status = 'running'",
    )
    // A worker that waited for this may have closed the run already.
    return row?.ms ?? Number.POSITIVE_INFINITY
  }
  await expect.poll(silentMs, { timeout: 2 * SILENCE_MS, interval: 200 }).toBeGreaterThan(SILENCE_MS)
}
