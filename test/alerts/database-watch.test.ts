import { expect, test } from 'vitest'
import { watchDatabase } from '../../src/alerts/database-watch.js'

const unrecorded = { status: 'failed', runId: null, reason: 'Cannot reach Postgres' }
const at = (minute: number) => new Date(Date.UTC(2026, 2, 1, 12, minute))

/** A watch that hears of so many runs, one a minute. */
function afterRuns(...runs: readonly Parameters<ReturnType<typeof watchDatabase>['runEnded']>[0][]) {
  const watch = watchDatabase(3)
  for (const [minute, run] of runs.entries()) watch.runEnded(run, at(minute))
  return watch
}

test('fires when so many runs in a row could not be recorded, since the one that was too many', () => {
  expect(afterRuns(unrecorded, unrecorded).due()).toBeNull()
  expect(afterRuns(unrecorded, unrecorded, unrecorded, unrecorded).due()).toEqual({
    ...{ kind: 'database_unavailable', state: 'firing', since: at(2) },
    summary: '4 runs in a row could not use the database: Cannot reach Postgres',
    details: { failedRuns: 4, reason: 'Cannot reach Postgres' },
  })
})

test.each([
  ['a complete run', { status: 'complete', runId: '1', reason: null }],
  ['a failed run that was recorded', { status: 'failed', runId: '1', reason: 'No answer' }],
])('%s ends the row', (_, run) => {
  expect(afterRuns(unrecorded, unrecorded, run, unrecorded).due()).toBeNull()
})

test.each(['skipped', 'aborted'])('a %s run counts neither way', (status) => {
  const run = { status, runId: null, reason: null }

  expect(afterRuns(unrecorded, unrecorded, run).due()).toBeNull()
  expect(afterRuns(unrecorded, unrecorded, run, unrecorded).due()).toMatchObject({ state: 'firing' })
})

test('is due until it was told, and so is its end', () => {
  const watch = afterRuns(unrecorded, unrecorded, unrecorded)
  expect(watch.due()).toEqual(watch.due())
  watch.noteTold('firing')
  expect(watch.due()).toBeNull()

  watch.runEnded({ status: 'complete', runId: '1', reason: null }, at(9))
  expect(watch.due()).toMatchObject({ state: 'resolved', since: at(9) })
  watch.noteTold('resolved')
  expect(watch.due()).toBeNull()
})
