// The longer trials, whose figures docs/operations.md records: the property test of the sync with 5,000 histories
// (CHURN_HISTORIES; CHURN_SEED repeats one), a day of ticks on accounts of up to a million jobs, and a first run over
// 100,000 jobs with 300 requests a window.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const tests = ['test/sync/churn.property.test.ts', 'test/sync/request-cost.test.ts', 'test/sync/budget-run.test.ts']
const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...tests], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  env: {
    CHURN_HISTORIES: '5000',
    REQUEST_COST_SIZES: '1000,100000,1000000',
    REQUEST_COST_HOURS: '24',
    BUDGET_JOBS: '100000',
    BUDGET_LIMIT: '300',
    BUDGET_WINDOW_MS: '10000',
    ...process.env,
  },
  stdio: 'inherit',
})
process.exit(status ?? 1)
