import { expect, test } from 'vitest'
import { startRun } from '../../src/db/sync-runs.js'
import { isFullRunLeft } from '../../src/service/full-run-left.js'
import type { RunMode, RunStatus } from '../../src/sync/run-summary.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()

const isLeftAfter = (mode: RunMode, status: RunStatus) =>
  isFullRunLeft(database.db, { mode, status, account: 'default' })

test.each(['complete', 'partial', 'failed', 'aborted'] as const)(
  'a full run has done the work of those that were due meanwhile, an incremental one has not (%s)',
  async (status) => {
    expect([await isLeftAfter('full', status), await isLeftAfter('incremental', status)]).toEqual([false, true])
  },
)

test.each([
  ['full', false],
  ['incremental', true],
] as const)('where it was skipped, what another process runs counts: %s', async (mode, isLeft) => {
  await startRun(database.db, { account: 'default', mode, trigger: 'manual', worker: 'other:1' })

  expect([await isLeftAfter('full', 'skipped'), await isLeftAfter('incremental', 'skipped')]).toEqual([isLeft, isLeft])
})

test('where it was skipped and no run is recorded yet, the full run is left', async () => {
  expect(await isLeftAfter('full', 'skipped')).toBe(true)
})
