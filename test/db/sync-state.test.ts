import { expect, test } from 'vitest'
import { RunClosedError } from '../../src/db/sync-runs.js'
import { openSyncState, type SyncState, saveBudget, saveNextRun, saveSyncState } from '../../src/db/sync-state.js'
import { openRun } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const { db, sql } = await shareTestDatabase()

const AT = new Date('2026-03-01T12:00:00.123Z')

const NOTHING: SyncState = {
  isWhole: false,
  bottomCreatedAt: null,
  sweepCreatedAt: null,
  sweepStartedAt: null,
  lastSweepAt: null,
  fullCreatedAt: null,
  fullStartedAt: null,
  openCreatedAt: null,
  lastCompleteAt: null,
  rereadSince: null,
  isUnsorted: false,
  triedDifference: null,
  losesJobs: false,
  passTotal: null,
  passCreatedAt: null,
}

const ALL: SyncState = {
  isWhole: true,
  bottomCreatedAt: '2026-03-01T12:00:00.000001Z',
  sweepCreatedAt: '2026-03-01T12:00:00.000002Z',
  sweepStartedAt: new Date('2026-03-02T12:00:00.001Z'),
  lastSweepAt: new Date('2026-03-02T12:00:00.002Z'),
  fullCreatedAt: '2026-03-01T12:00:00.000003Z',
  fullStartedAt: new Date('2026-03-02T12:00:00.003Z'),
  openCreatedAt: '2026-03-01T12:00:00.000004Z',
  lastCompleteAt: new Date('2026-03-02T12:00:00.006Z'),
  rereadSince: new Date('2026-03-02T12:00:00.004Z'),
  isUnsorted: true,
  triedDifference: -3,
  losesJobs: true,
  passTotal: 77,
  passCreatedAt: '2026-03-01T12:00:00.000005Z',
}

test('creates an empty state for an unknown account', async () => {
  expect(await openSyncState(db, 'default')).toEqual({ ...NOTHING, resultsMode: null })
  expect(await openSyncState(db, 'default')).toEqual({ ...NOTHING, resultsMode: null })

  expect(await sql('SELECT account FROM spidra.sync_state')).toEqual([{ account: 'default' }])
})

test('stores the whole state, positions to the microsecond', async () => {
  const run = await openRun(db)
  await openSyncState(db, 'default')
  await saveSyncState(db, run, ALL)

  expect(await openSyncState(db, 'default')).toEqual({ ...ALL, resultsMode: null })
})

test.each(Object.keys(ALL) as (keyof SyncState)[])('saving %s leaves the rest as it is', async (name) => {
  const run = await openRun(db)
  await openSyncState(db, 'default')
  await saveSyncState(db, run, { [name]: ALL[name] })
  expect(await openSyncState(db, 'default')).toEqual({ ...NOTHING, [name]: ALL[name], resultsMode: null })

  await saveSyncState(db, run, ALL)
  await saveSyncState(db, run, { [name]: NOTHING[name] })
  expect(await openSyncState(db, 'default')).toEqual({ ...ALL, [name]: NOTHING[name], resultsMode: null })
})

test('reads a position in any offset', async () => {
  const run = await openRun(db)
  await openSyncState(db, 'default')
  await saveSyncState(db, run, { bottomCreatedAt: '2026-03-01T12:00:00.123456+05:30' })

  expect(await openSyncState(db, 'default')).toMatchObject({ bottomCreatedAt: '2026-03-01T06:30:00.123456Z' })
})

test('keeps accounts apart', async () => {
  await openSyncState(db, 'ada')
  await openSyncState(db, 'bob')
  await saveSyncState(db, await openRun(db, 'ada'), ALL)

  expect(await openSyncState(db, 'bob')).toEqual({ ...NOTHING, resultsMode: null })
  expect(await sql(`SELECT last_complete_at FROM spidra.sync_state WHERE account = 'bob'`)).toEqual([
    { last_complete_at: null },
  ])
})

test('budget and next run can be saved at any time, also before the first run and all at once', async () => {
  await Promise.all([
    openSyncState(db, 'default'),
    saveBudget(db, 'default', { limit: 300, remaining: 12, resetAt: AT }),
    saveNextRun(db, 'default', AT),
  ])
  const shown = {
    rate_limit: 300,
    rate_remaining: 12,
    rate_reset_at: AT,
    next_run_at: AT,
  }
  expect(await sql('SELECT * FROM spidra.sync_state')).toEqual([expect.objectContaining(shown)])

  await saveBudget(db, 'default', { limit: 300, remaining: 11, resetAt: null })
  await saveNextRun(db, 'default', null)

  expect(await sql('SELECT * FROM spidra.sync_state')).toEqual([
    expect.objectContaining({ ...shown, rate_remaining: 11, rate_reset_at: null, next_run_at: null }),
  ])
  expect(await openSyncState(db, 'default')).toEqual({ ...NOTHING, resultsMode: null })
})

test('a closed run saves nothing', async () => {
  await openSyncState(db, 'default')
  const run = await openRun(db)
  await sql(`UPDATE spidra.sync_runs SET status = 'aborted' WHERE id = $1`, [String(run.id)])

  await expect(saveSyncState(db, run, ALL)).rejects.toThrow(RunClosedError)

  expect(await openSyncState(db, 'default')).toEqual({ ...NOTHING, resultsMode: null })
})
