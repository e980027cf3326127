import { defineConfig } from 'vitest/config'
import { choosePostgres, describeChoice } from './test/support/postgres-choice.js'

const ALL = 'test/**/*.test.ts'
/** What is long by nature: `npm run test:slow`. */
const SLOW = 'test/**/*.slow.test.ts'
/** What needs a container engine and minutes, such as the image and compose.yaml: `npm run test:containers`. */
const CONTAINERS = 'test/containers/*.test.ts'

const { TEST_CONTAINERS, TEST_SLOW } = process.env
const include = TEST_CONTAINERS ? CONTAINERS : TEST_SLOW ? SLOW : ALL

export default defineConfig(async () => {
  const postgresChoice = await choosePostgres(process.env)
  // Before vitest's own first line: which Postgres a result holds for should be the first thing to see.
  process.stdout.write(`${describeChoice(postgresChoice)}\n`)
  return {
    test: {
      include: [include],
      exclude: [SLOW, CONTAINERS].filter((pattern) => pattern !== include),
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
