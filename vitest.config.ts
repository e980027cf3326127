import { defineConfig } from 'vitest/config'
import { choosePostgres, describeChoice } from './test/support/postgres-choice.js'

export default defineConfig(async () => {
  const postgresChoice = await choosePostgres(process.env)
  // Before vitest's own first line: which Postgres a result holds for should be the first thing to see.
  process.stdout.write(`${describeChoice(postgresChoice)}\n`)
  return {
    test: {
      // The image and compose.yaml need an engine and minutes: `npm run test:containers`.
      include: [process.env.TEST_CONTAINERS === undefined ? 'test/**/*.test.ts' : 'test/containers/*.test.ts'],
      exclude: process.env.TEST_CONTAINERS === undefined ? ['test/containers/**'] : [],
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
