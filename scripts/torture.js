// The longer trials, whose figures docs/operations.md records: the property test of the sync with 5,000 histories
// (CHURN_HISTORIES; CHURN_SEED repeats one), and a day of ticks on accounts of up to a million jobs.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const tests = ['test/sync/churn.property.test.ts', 'test/sync/request-cost.test.ts']
const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...tests], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  env: {
    CHURN_HISTORIES: '5000',
    REQUEST_COST_SIZES: '1000,100000,1000000',
    REQUEST_COST_HOURS: '24',
    ...process.env,
  },
  stdio: 'inherit',
})
process.exit(status ?? 1)
