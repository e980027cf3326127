import type { Database } from './client.js'

/** What time it is for the database: the one clock that all workers and readers share. */
export async function readDatabaseTime(db: Database): Promise<Date> {
  const [row] = await db.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`
  if (row === undefined) throw new Error('Postgres returned no time')
  return row.now
}

/**
 * The clock of the database, as of now and carried on by our monotonic one. It does not jump with the clock of this machine.
 * After a sleep of the machine, and by the latency of the query, it is behind rather than ahead.
 */
export async function openDatabaseClock(db: Database): Promise<() => Date> {
  const began = (await readDatabaseTime(db)).getTime()
  const answered = performance.now()
  return () => new Date(began + performance.now() - answered)
}
