import type { Database } from './client.js'

/** How much was deleted. */
export interface Pruned {
  readonly runs: number
  readonly events: number
  readonly rejections: number
}

/**
 * Deletes what is older than `days`: finished runs, change events, and resolved rejections of the account. Jobs stay for
 * ever, and so does every open rejection.
 */
export async function pruneHistory(db: Database, account: string, days: number): Promise<Pruned> {
  const runs = await db.$executeRaw`
    DELETE FROM spidra.sync_runs
    WHERE account = ${account} AND status <> 'running' AND finished_at < now() - make_interval(days => ${days}::integer)`
  const events = await db.$executeRaw`
    DELETE FROM spidra.batch_job_events
    WHERE account = ${account} AND observed_at < now() - make_interval(days => ${days}::integer)`
  const rejections = await db.$executeRaw`
    DELETE FROM spidra.rejected_jobs
    WHERE account = ${account} AND resolved_at < now() - make_interval(days => ${days}::integer)`
  return { runs, events, rejections }
}
