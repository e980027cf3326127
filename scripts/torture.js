// The longer trials, whose figures docs/reliability.md records: histories of a moving list (CHURN_HISTORIES; CHURN_SEED
// repeats one), a day of ticks on accounts of up to a million jobs, a first run over 100,000 jobs with 300 requests a
// window, 100 times kill -9 (KILL_SEED repeats them), workers that stand still for a real minute, the daily view against
// random changes, ten minutes of chaos in a fleet (FLEET_CHAOS_SEED repeats them), and 60 accounts on three workers. The
// soak and the lifetime are trials of their own: `npm run soak`, `npm run lifetime -- --matrix`.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const tests = [
  'test/sync/churn.property.test.ts',
  'test/sync/request-cost.test.ts',
  'test/sync/budget-run.slow.test.ts',
  'test/sync/takeover.slow.test.ts',
  'test/service/kill.slow.test.ts',
  'test/service/stopped.slow.test.ts',
  'test/fleet/chaos.slow.test.ts',
  'test/fleet/throughput.slow.test.ts',
  'test/reporting/daily-batch-jobs.test.ts',
]
const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...tests], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  env: {
    CHURN_HISTORIES: '5000',
    CHURN_SEED: 'random',
    REQUEST_COST_SIZES: '1000,100000,1000000',
    REQUEST_COST_HOURS: '24',
    BUDGET_JOBS: '100000',
    BUDGET_LIMIT: '300',
    BUDGET_WINDOW_MS: '10000',
    KILLS: '100',
    REAL_TIME: '1',
    FLEET_CHAOS_SECONDS: '600',
    FLEET_ACCOUNTS: '60',
    FLEET_WINDOWS: '10',
    TORTURE_RUNS: '400',
    ...process.env,
  },
  stdio: 'inherit',
})
process.exit(status ?? 1)
