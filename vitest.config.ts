import { defineConfig } from 'vitest/config'
import { choosePostgres, describeChoice } from './test/support/postgres-choice.js'

export default defineConfig(async () => {
  const postgresChoice = await choosePostgres(process.env)
  // Before vitest's own first line: which Postgres a result holds for should be the first thing to see.
  process.stdout.write(`${describeChoice(postgresChoice)}\n`)
  return {
    test: {
      include: ['test/**/*.test.ts'],
      globalSetup: ['test/support/postgres-server.ts'],
      provide: { postgresChoice },
      pool: 'forks',
      maxWorkers: 2,
      testTimeout: 30_000,
      hookTimeout: 30_000,
      teardownTimeout: 30_000,
    },
  }
})
