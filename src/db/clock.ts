import type { Database } from './client.js'

/** What time it is for the database: the one clock that all workers and readers share. */
export async function readDatabaseTime(db: Database): Promise<Date> {
  const [row] = await db.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`
  if (row === undefined) throw new Error('Postgres returned no time')
  return row.now
}

/**
 * The clock of the database, as of now and carried on by our monotonic one: it does not jump with the clock of this
 * machine, and after a sleep of the machine it is behind rather than ahead.
 */
export async function openDatabaseClock(db: Database): Promise<() => Date> {
  const asked = performance.now()
  const began = (await readDatabaseTime(db)).getTime()
  return () => new Date(began + performance.now() - asked)
}
