import { expect, test } from 'vitest'
import { startRun } from '../../src/db/run-lease.js'
import { isFullRunLeft } from '../../src/service/account-run.js'
import type { RunMode, RunStatus } from '../../src/sync/run-summary.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()

const isLeftAfter = (mode: RunMode, status: RunStatus) =>
  isFullRunLeft(database.db, { mode, status, account: 'default' })

test.each(['complete', 'partial', 'failed', 'aborted'] as const)(
  'a full run has done the work of the full runs that became due meanwhile, an incremental one has not (%s)',
  async (status) => {
    expect([await isLeftAfter('full', status), await isLeftAfter('incremental', status)]).toEqual([false, true])
  },
)

test.each([
  ['full', false],
  ['incremental', true],
] as const)('after a skipped run, the run of the other process counts: %s', async (mode, isLeft) => {
  await startRun(database.db, { account: 'default', mode, trigger: 'manual', worker: 'other:1' })

  expect([await isLeftAfter('full', 'skipped'), await isLeftAfter('incremental', 'skipped')]).toEqual([isLeft, isLeft])
})

test('after a skipped run without any recorded run, the full run is left', async () => {
  expect(await isLeftAfter('full', 'skipped')).toBe(true)
})
