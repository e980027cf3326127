import { expect, test } from 'vitest'
import { readStatus } from '../../src/report/status.js'
import { createTestDatabase } from '../support/test-database.js'

const NOW = new Date('2026-03-01T12:00:00Z')
const RATE_LIMIT = { requests: 300, windowSeconds: 900, reserve: 0.5 }
const OPTIONS = { account: 'default', now: NOW, rateLimit: RATE_LIMIT }
const NOTHING = {
  account: 'default',
  asOf: NOW.toISOString(),
  lastCompleteAt: null,
  rereadSince: null,
  lagSeconds: null,
  nextRunAt: null,
  rateLimit: null,
  today: { day: '2026-03-01', runs: 0, requests: 0, retries: 0, waitedMs: 0 },
  progress: null,
  alerts: [],
  liveJobs: 0,
  stuckJobs: 0,
  openRejections: 0,
  outdatedJobs: 0,
  runs: [],
}

test('an empty database has had no run yet', async () => {
  await using database = await createTestDatabase()

  await expect(readStatus(database.db, OPTIONS)).resolves.toEqual(NOTHING)
})

test('a database without our tables has had no run yet', async () => {
  await using database = await createTestDatabase({ isMigrated: false })

  await expect(readStatus(database.db, OPTIONS)).resolves.toEqual(NOTHING)
})

test('reads freshness, next run and totals of the account, and of no other', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    INSERT INTO spidra.sync_state
      (account, last_complete_at, reread_since, rate_limit, rate_remaining, rate_reset_at, next_run_at)
    VALUES
      ('default', '2026-03-01T11:56:00.4Z', '2026-03-01T03:00:00Z', 300, 240, '2026-03-01T12:10:00Z', '2026-03-01T12:05:00Z'),
      ('other', '2026-03-01T11:59:00Z', null, 1, 1, null, null);
    INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at, removed_at)
    SELECT gen_random_uuid(), account, 'completed', 1, 1, 0, now(), removed_at
    FROM (VALUES ('default', null), ('default', null), ('default', now()), ('other', null)) AS job (account, removed_at);
    INSERT INTO spidra.rejected_jobs (account, fingerprint, copies, payload, reason, run_id, resolved_at)
    VALUES ('default', 'a', 3, '{}', 'no uuid', 1, null), ('default', 'b', 1, '{}', 'no uuid', 1, now()), ('other', 'a', 1, '{}', 'no uuid', 2, null);
    INSERT INTO spidra.rejected_jobs (account, uuid, fingerprint, payload, reason, run_id)
    SELECT account, uuid, uuid, '{}', 'no status', 1 FROM spidra.batch_jobs`)

  await expect(readStatus(database.db, OPTIONS)).resolves.toEqual({
    ...NOTHING,
    lastCompleteAt: '2026-03-01T11:56:00.400Z',
    rereadSince: '2026-03-01T03:00:00.000Z',
    lagSeconds: 240,
    nextRunAt: '2026-03-01T12:05:00.000Z',
    rateLimit: { limit: 300, remaining: 240, resetAt: '2026-03-01T12:10:00.000Z' },
    liveJobs: 2,
    // Three equal ones, one of a job that was removed, and two of jobs that are stored in an older version.
    openRejections: 6,
    outdatedJobs: 2,
  })
})

test('a database whose clock is ahead has a lag of 0', async () => {
  await using database = await createTestDatabase()
  await database.sql(
    `INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('default', '2026-03-01T12:00:09Z')`,
  )

  await expect(readStatus(database.db, OPTIONS)).resolves.toMatchObject({ lagSeconds: 0, rateLimit: null })
})

test('reads the last ten runs, newest first, in a form that JSON keeps', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, started_at, finished_at, worker)
    SELECT 'default', 'incremental', 'schedule', 'complete', '2026-03-01T10:00:00Z'::timestamptz + n * interval '5 min',
           '2026-03-01T10:00:02.5Z'::timestamptz + n * interval '5 min', 'worker:1'
    FROM generate_series(1, 12) AS n;
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, started_at, finished_at, worker, status_reason, error_code, error_message)
    VALUES
      ('other', 'full', 'manual', 'complete', '2026-03-01T11:30:00Z', null, 'worker:1', null, null, null),
      ('default', 'full', 'manual', 'failed', '2026-03-01T11:40:00Z', '2026-03-01T11:41:00Z', 'worker:1', null, 'unauthorized', 'Check SPIDRA_API_KEY'),
      ('default', 'full', 'manual', 'partial', '2026-03-01T11:45:00Z', '2026-03-01T11:46:00Z', 'worker:1', 'mass_removal', null, null),
      ('default', 'full', 'startup', 'running', '2026-03-01T11:59:30Z', null, 'worker:1', null, null, null)`)

  const { runs } = JSON.parse(JSON.stringify(await readStatus(database.db, OPTIONS)))

  expect(runs).toHaveLength(10)
  expect(runs[0]).toEqual({
    id: '16',
    mode: 'full',
    trigger: 'startup',
    status: 'running',
    reason: null,
    errorMessage: null,
    startedAt: '2026-03-01T11:59:30.000Z',
    finishedAt: null,
    heartbeatAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    durationMs: 30_000,
    requests: 0,
    retries: 0,
    pagesRead: 0,
    seamsRepaired: 0,
    jobsRead: 0,
    inserted: 0,
    updated: 0,
    unchanged: 0,
    removed: 0,
    restored: 0,
    rejected: 0,
    listedTotal: null,
    storedTotal: null,
    waitedMs: 0,
  })
  expect(runs[1]).toMatchObject({ status: 'partial', reason: 'mass_removal' })
  expect(runs[2]).toMatchObject({ status: 'failed', reason: 'unauthorized', errorMessage: 'Check SPIDRA_API_KEY' })
  expect(runs[3]).toMatchObject({ startedAt: '2026-03-01T11:00:00.000Z', durationMs: 2500 })
  expect(runs[9]).toMatchObject({ startedAt: '2026-03-01T10:30:00.000Z' })
})

test('counts the stuck jobs of the account', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    INSERT INTO spidra.sync_state (account, last_complete_at, stuck_after_hours) VALUES
      ('default', '2026-03-01T12:00:00Z', 2), ('other', '2026-03-01T12:00:00Z', 2);
    INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at)
    SELECT gen_random_uuid(), account, 'running', 1, 0, 0, created_at::timestamptz
    FROM (VALUES ('default', '2026-03-01T09:00:00Z'), ('default', '2026-03-01T11:00:00Z'), ('other', '2026-03-01T09:00:00Z'))
      AS job (account, created_at)`)

  await expect(readStatus(database.db, OPTIONS)).resolves.toMatchObject({ liveJobs: 2, stuckJobs: 1 })
})

test('reads the firing alerts of the account, oldest first, and no resolved ones', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    INSERT INTO spidra.alerts (account, kind, state, since, summary, details) VALUES
      ('default', 'stale', 'firing', '2026-03-01T11:30:00Z', 'old', '{}'),
      ('default', 'runs_failing', 'firing', '2026-03-01T11:00:00Z', 'broken', '{}'),
      ('default', 'rejections', 'resolved', '2026-03-01T10:00:00Z', 'none', '{}'),
      ('other', 'stale', 'firing', '2026-03-01T10:00:00Z', 'old', '{}')`)

  expect((await readStatus(database.db, OPTIONS)).alerts).toEqual([
    { kind: 'runs_failing', since: '2026-03-01T11:00:00.000Z', summary: 'broken' },
    { kind: 'stale', since: '2026-03-01T11:30:00.000Z', summary: 'old' },
  ])
})

test('sums up the requests of the runs of the UTC day', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    INSERT INTO spidra.sync_runs (account, mode, trigger, worker, status, started_at, requests, retries, waited_ms)
    SELECT account, 'full', 'manual', 'worker:1', 'complete', started_at::timestamptz, requests, 1, 2147483647
    FROM (VALUES ('default', '2026-02-28T23:59:59.999Z', 1), ('default', '2026-03-01T00:00:00Z', 20),
      ('default', '2026-03-01T11:00:00Z', 300), ('other', '2026-03-01T11:00:00Z', 4000)) AS run (account, started_at, requests)`)

  expect((await readStatus(database.db, OPTIONS)).today).toEqual({
    ...{ day: '2026-03-01', runs: 2, requests: 320, retries: 2, waitedMs: 4_294_967_294 },
  })
})
