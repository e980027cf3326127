import { describe, expect, test } from 'vitest'
import { readAlertFacts } from '../../src/db/alerts.js'
import { hold } from '../support/blocking.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database
const NONE = { count: 0, runId: null, errorCode: null, errorMessage: null }

/** Runs of the account, one an hour, the last one an hour ago. `failed:network` is a status and an error code. */
async function ran(account: string, ...runs: readonly string[]): Promise<void> {
  for (const [index, run] of runs.entries()) {
    const [status, code] = run.split(':')
    await sql(
      `INSERT INTO spidra.sync_runs (account, mode, trigger, worker, status, started_at, status_reason, error_code, error_message)
       VALUES ($1, 'full', 'manual', 'worker:1', $2::text, now() - make_interval(hours => $3::integer),
         CASE WHEN $2 = 'partial' THEN $4 END, CASE WHEN $2 = 'failed' THEN $4 END, CASE WHEN $2 = 'failed' THEN 'run ' || $5::integer END)`,
      [account, status, runs.length - index, code ?? null, index + 1],
    )
  }
}

const facts = () => readAlertFacts(db, 'default')

test('are null or zero for an account without runs', async () => {
  await ran('other', 'failed:network', 'failed:unauthorized')

  expect(await facts()).toEqual({
    ...{ asOf: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/), failures: NONE, refusals: NONE },
    ...{
      stalled: null,
      verdict: null,
      lastCompleteAt: null,
      lagSeconds: null,
      stuckJobs: 0,
      stuckUuids: [],
      stuckAfterHours: 0,
    },
    openRejections: 0,
  })
})

test('name the last run that no longer advanced, until a verdict', async () => {
  await ran('default', 'failed:stalled', 'failed:network')
  expect(await facts()).toMatchObject({ failures: { count: 2 }, stalled: { runId: '1', errorMessage: 'run 1' } })

  await ran('default', 'complete')
  expect((await facts()).stalled).toBeNull()
})

describe('failures', () => {
  test('are counted since the last verdict, refused keys apart', async () => {
    await ran(
      'default',
      ...['failed:network', 'complete', 'failed:network', 'failed:forbidden', 'failed:unauthorized', 'failed:timeout'],
    )
    await ran('other', 'failed:network')

    expect(await facts()).toMatchObject({
      failures: { count: 2, runId: '6', errorCode: 'timeout', errorMessage: 'run 6' },
      refusals: { count: 2, runId: '5', errorCode: 'unauthorized', errorMessage: 'run 5' },
      verdict: { runId: '2', status: 'complete', reason: null },
    })
  })

  test('are counted anew after a partial run; aborted and running runs do not count', async () => {
    await ran('default', 'failed:network', 'aborted', 'failed:timeout', 'running')
    expect(await facts()).toMatchObject({ failures: { count: 2 }, verdict: null })

    await ran('default', 'partial:list_moving')
    expect(await facts()).toMatchObject({ failures: NONE, verdict: { status: 'partial', reason: 'list_moving' } })
  })

  test('are counted without an error code too', async () => {
    await ran('default', 'failed')

    expect(await facts()).toMatchObject({ failures: { count: 1, errorCode: null } })
  })
})

test('the lag is the age of the last complete run, by the clock of the database', async () => {
  await sql(
    `INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('default', now() - interval '90 minutes')`,
  )

  const { lagSeconds, lastCompleteAt, asOf } = await facts()

  expect(lagSeconds).toBeCloseTo((Date.parse(asOf) - Date.parse(lastCompleteAt ?? '')) / 1000, 0)
  expect(lagSeconds).toBeGreaterThanOrEqual(5400)
})

test('stuck jobs and open rejections are those of the account; of many jobs five are named, longest stuck first', async () => {
  await sql(`
    INSERT INTO spidra.sync_state (account, last_complete_at, stuck_after_hours) VALUES ('default', now(), 2), ('other', now(), 2);
    INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at)
    SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, CASE WHEN n = 9 THEN 'other' ELSE 'default' END, 'running',
      1, 0, 0, now() - make_interval(hours => n) FROM generate_series(1, 9) AS n;
    INSERT INTO spidra.rejected_jobs (account, fingerprint, copies, payload, reason, run_id, resolved_at)
    VALUES ('default', 'a', 3, '{}', 'no uuid', 1, null), ('default', 'b', 1, '{}', 'no uuid', 1, now()), ('other', 'a', 1, '{}', 'no uuid', 2, null)`)

  const { stuckJobs, stuckUuids, stuckAfterHours, openRejections } = await facts()

  expect({ stuckJobs, stuckAfterHours, openRejections }).toEqual({
    stuckJobs: 6,
    stuckAfterHours: 2,
    openRejections: 3,
  })
  expect(stuckUuids.map((uuid) => uuid.at(-1))).toEqual(['8', '7', '6', '5', '4'])
})

test('are given up while a table is locked', async () => {
  await using _lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')

  await expect(facts()).rejects.toThrow(/57014|statement timeout/)
})
