import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { choosePostgres, describeChoice } from './test/support/postgres-choice.js'

const ALL = 'test/**/*.test.ts'
/** What is long by nature: `npm run test:slow`. */
const SLOW = 'test/**/*.slow.test.ts'
/** What needs a container engine and minutes, such as the image and compose.yaml: `npm run test:containers`. */
const CONTAINERS = 'test/containers/*.test.ts'

/** Tries more histories among the slow tests. */
const CHURN = 'test/sync/churn.property.test.ts'

/** Slow files that mostly wait, for deadlines, windows and schedules of real seconds. */
const WAITING =
  /(budget-pause|killed-worker|throughput|idle-sessions|database-faults|clock-\w+|verdict-at-head|soak)\.slow\./

/**
 * Begins the large files first, as vitest does, and a file that mostly waits after every two others. Most of those are small:
 * at the end, all together, they would leave the cores idle for a minute.
 */
class SlowSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const waiting = sorted.filter(({ moduleId }) => WAITING.test(moduleId))
    const others = sorted.filter((file) => !waiting.includes(file))
    const mixed = others.flatMap((file, index) => (index % 2 === 1 ? [file, ...waiting.splice(0, 1)] : [file]))
    return [...mixed, ...waiting]
  }
}

const { TEST_CONTAINERS, TEST_SLOW } = process.env
/** `vitest run test/service/kill.slow.test.ts` runs what it names. */
const isSlowNamed = process.argv.some((argument) => argument.includes('.slow.'))
const include = TEST_CONTAINERS ? [CONTAINERS] : TEST_SLOW ? [SLOW, CHURN] : [ALL]
const exclude = TEST_CONTAINERS || TEST_SLOW ? [] : isSlowNamed ? [CONTAINERS] : [SLOW, CONTAINERS]

export default defineConfig(async () => {
  const postgresChoice = await choosePostgres(process.env)
  // Before vitest's own first line: which Postgres a result holds for should be the first thing to see.
  process.stdout.write(`${describeChoice(postgresChoice)}\n`)
  const minutes = TEST_SLOW ? '15 to 20' : 'about 4'
  const isWhole = TEST_CONTAINERS === undefined && !process.argv.some((argument) => argument.startsWith('test/'))
  if (isWhole) process.stdout.write(`They take ${minutes} minutes on two cores.\n`)
  return {
    test: {
      include,
      exclude,
      globalSetup: ['test/support/postgres-server.ts'],
      setupFiles: ['test/support/no-secrets.ts'],
      provide: { postgresChoice },
      pool: 'forks',
      // Files that share a process import the modules once: a tenth of the time. Slow ones set up processes and signals of their own.
      isolate: TEST_SLOW !== undefined || TEST_CONTAINERS !== undefined,
      // The tests wait for processes, timers and the database for a third of their time, the slow ones for half of it.
      maxWorkers: TEST_SLOW === undefined ? 3 : 4,
      ...(TEST_SLOW === undefined ? {} : { sequence: { sequencer: SlowSequencer } }),
      testTimeout: TEST_SLOW === undefined ? 30_000 : 60_000,
      hookTimeout: 30_000,
      teardownTimeout: 30_000,
    },
  }
})
