// Runs the property test of the sync with 5,000 histories, or as many as CHURN_HISTORIES says; CHURN_SEED repeats one.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', 'test/sync/churn.property.test.ts'],
  {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { CHURN_HISTORIES: '5000', ...process.env },
    stdio: 'inherit',
  },
)
process.exit(status ?? 1)
