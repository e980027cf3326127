import type { Logger } from 'pino'
import type { Database } from '../db/client.js'
import { withRetries } from '../db/retry.js'
import { finishRun, type RunEnd, type RunKey } from '../db/sync-runs.js'

/**
 * Closes the record of a run. A server that restarts is waited for, a few seconds; one that stays away cannot take the
 * record, and the next holder of the lock closes it.
 *
 * @param options the signal ends the waiting, not the writing.
 */
export async function closeRecord(
  { db, signal }: { readonly db: Database; readonly signal: AbortSignal },
  run: RunKey,
  end: RunEnd,
  log: Logger,
): Promise<void> {
  try {
    const patient = withRetries(db, { signal, reconnects: true })
    if (!(await finishRun(patient, run, end))) log.warn('record of the run was closed by another worker')
  } catch (err) {
    log.warn({ err }, 'record of the run could not be closed; the next run closes it')
  }
}
