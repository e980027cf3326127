import { afterAll, beforeEach } from 'vitest'
import { createTestDatabase, type TestDatabase } from './test-database.js'

/**
 * Creates one database for all tests of a file, and empties it before each: ten times faster than a database for every
 * test. A test that changes the schema or measures the server needs its own.
 */
export async function shareTestDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase()
  beforeEach(async () => {
    await database.sql(`
      TRUNCATE spidra.batch_jobs, spidra.batch_job_events, spidra.sync_runs, spidra.rejected_jobs, spidra.sync_state,
        spidra.alerts
      RESTART IDENTITY`)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  return database
}
