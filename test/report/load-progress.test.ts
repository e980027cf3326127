import { describe, expect, test } from 'vitest'
import {
  type LoadFacts,
  type LoadProgress,
  readLoadProgress,
  toLoadProgress,
  toOutlookText,
  toProgressText,
} from '../../src/report/load-progress.js'
import { costOf, fullPass, toStartingBudget } from '../../src/sync/cost.js'
import { createTestDatabase } from '../support/test-database.js'

const NOW = new Date('2026-03-01T20:30:00Z')
const RATE_LIMIT = { requests: 300, windowSeconds: 900, reserve: 0.5 }
const OPTIONS = { now: NOW, rateLimit: RATE_LIMIT }
const MINUTE = 60_000

const at = (minutes: number) => new Date(NOW.getTime() + minutes * MINUTE)

/** A first load of 20,000 jobs that began half an hour ago, and made a request every 200 ms between two waits. */
const RUN: LoadFacts['runs'][number] = {
  status: 'running',
  errorCode: null,
  startedAt: at(-30),
  finishedAt: null,
  heartbeatAt: at(0),
  requests: 100,
  waitedMs: 30 * MINUTE - 20_000,
  latestTotal: 20_000,
  listedTotal: null,
  waitsUntil: null,
}
const STATE: LoadFacts['state'] = {
  isWhole: false,
  lastCompleteAt: null,
  fullStartedAt: at(-30),
  passTotal: 19_900,
  rateLimit: 300,
  rateRemaining: 300,
  rateResetAt: null,
  nextRunAt: at(5),
}
const FACTS: LoadFacts = { state: STATE, runs: [RUN], storedJobs: 5_000, passedJobs: 5_000, openPages: 0, sharers: 1 }

function progressOf(
  change: Partial<LoadFacts> = {},
  options: Parameters<typeof toLoadProgress>[1] = OPTIONS,
): LoadProgress {
  const progress = toLoadProgress({ ...FACTS, ...change }, options)
  if (progress === null) throw new Error('no progress')
  return progress
}

/** What `plan` says of the rest of the list, when it is asked at the instant with the whole window unused. */
function planned(jobs: number, from: Date, { rateLimit = RATE_LIMIT, latencyMs = 200, openPages = 0 } = {}): string {
  const budget = toStartingBudget({ limit: 300, remaining: 300, resetInMs: null }, rateLimit)
  return new Date(from.getTime() + costOf(fullPass(jobs, 50, openPages), budget, latencyMs).durationMs).toISOString()
}

describe('a first load', () => {
  test('in the middle shows its share, and the end that plan computes for the rest', () => {
    const progress = progressOf({ state: { ...STATE, rateRemaining: null } })

    expect(progress).toMatchObject({
      ...{ kind: 'first_load', doneJobs: 5_000, listedJobs: 20_000, percent: 25, isRunning: true },
      ...{ waitsFor: null, waitsUntil: null, doneAt: planned(15_000, NOW) },
    })
    expect(toOutlookText(progress)).toBe('25 %, done about 21:01 UTC')
    expect(toProgressText(progress)).toBe('5,000 of 20,000 jobs (25 %), done about 21:01 UTC')
  })

  test('that waits for the budget shows until when, and draws on whole windows after that', () => {
    const progress = progressOf({ runs: [{ ...RUN, waitsUntil: at(10), waitedMs: 40 * MINUTE - 20_000 }] })

    // 301 requests in windows of 150, of which two are sent again after each wait.
    expect(progress).toMatchObject({
      waitsFor: 'request_budget',
      waitsUntil: at(10).toISOString(),
      doneAt: new Date(at(40).getTime() + 200 * (301 - 2 * 148 + 2)).toISOString(),
    })
    expect(toProgressText(progress)).toBe(
      '5,000 of 20,000 jobs (25 %), waiting for the request budget until 20:40, done about 21:11 UTC',
    )
  })

  test('whose window is partly used counts what is left of its share', () => {
    const state = { ...STATE, rateRemaining: 160, rateResetAt: at(10) }

    // 10 of 150 requests are left, so three more windows are needed for 301.
    expect(progressOf({ state }).doneAt).toBe(new Date(at(10 + 15).getTime() + 200 * (291 - 148 + 2)).toISOString())
  })

  test('that has just begun shows the total of its first answer, and no end before the first heartbeat', () => {
    const run = { ...RUN, heartbeatAt: at(0), startedAt: at(0), requests: 0, waitedMs: 0, latestTotal: null }
    const progress = progressOf({ runs: [run], storedJobs: 0, passedJobs: 0 })

    expect(progress).toMatchObject({ kind: 'first_load', doneJobs: 0, listedJobs: 19_900, percent: 0, doneAt: null })
    expect(toProgressText(progress)).toBe('0 of 19,900 jobs (0 %)')
  })

  test('without any answer knows only what is stored', () => {
    const run = { ...RUN, requests: 0, latestTotal: null }
    const state = { ...STATE, passTotal: null, fullStartedAt: null }
    const progress = progressOf({ runs: [run], state, storedJobs: 0, passedJobs: 0 })

    expect(progress).toMatchObject({ kind: 'first_load', listedJobs: null, percent: null, doneAt: null })
    expect(toProgressText(progress)).toBe('0 jobs')
  })

  test('that was cut off continues with the next run', () => {
    const run = { ...RUN, status: 'failed', errorCode: 'timeout', finishedAt: at(0) }
    const progress = progressOf({ runs: [run] })

    expect(progress).toMatchObject({ isRunning: false, waitsFor: 'next_run', waitsUntil: at(5).toISOString() })
    expect(progress.doneAt).toBe(planned(15_000, at(5)))
    expect(toProgressText(progress)).toMatch(
      /^5,000 of 20,000 jobs \(25 %\), waiting for the next run until 20:35:00, /,
    )
  })

  test('whose worker was killed is not under way, and has no end without a next run', () => {
    const state = { ...STATE, nextRunAt: at(-1) }
    const progress = progressOf({ state, runs: [{ ...RUN, heartbeatAt: at(-2) }] })

    expect(progress).toMatchObject({ isRunning: false, waitsFor: 'next_run', waitsUntil: null, doneAt: null })
    expect(toProgressText(progress)).toBe('5,000 of 20,000 jobs (25 %), waiting for the next run')
  })

  test('that was resumed by a later run takes total and pace from the run before until its own are known', () => {
    const before = { ...RUN, status: 'aborted', errorCode: 'stopped', finishedAt: at(0) }
    const run = { ...RUN, startedAt: at(0), requests: 0, waitedMs: 0, latestTotal: null }

    expect(progressOf({ runs: [run, before] })).toEqual(progressOf())
  })

  test('of a fleet whose run yielded waits for a worker', () => {
    const run = { ...RUN, status: 'aborted', errorCode: 'handed_on', finishedAt: at(0) }
    const progress = progressOf({ runs: [run] })

    expect(progress).toMatchObject({ waitsFor: 'worker', waitsUntil: null, doneAt: planned(15_000, NOW) })
    expect(toProgressText(progress)).toMatch(/^5,000 of 20,000 jobs \(25 %\), waiting for a worker, done about /)
  })

  test('whose run yielded because its share was used up waits for the next window', () => {
    const run = { ...RUN, status: 'aborted', errorCode: 'handed_on', finishedAt: at(0) }
    const state = { ...STATE, rateRemaining: 150, rateResetAt: at(10) }

    // 301 requests in windows of 150, of which two are sent again after each wait.
    expect(progressOf({ runs: [run], state }).doneAt).toBe(
      new Date(at(40).getTime() + 200 * (301 - 2 * 148 + 2)).toISOString(),
    )
  })

  test('counts the jobs that arrive meanwhile', () => {
    const progress = progressOf({ runs: [{ ...RUN, latestTotal: 25_000 }] })

    expect(progress).toMatchObject({ listedJobs: 25_000, percent: 20 })
    expect(progress.doneAt).toBe(planned(20_000, NOW))
  })

  test('that begins again from the top, because its list loses jobs, still shows what is stored', () => {
    expect(progressOf({ passedJobs: 0 })).toMatchObject({ doneJobs: 5_000, percent: 25, doneAt: planned(20_000, NOW) })
  })

  test('never shows more than 100 %, and 100 % only for all', () => {
    expect(progressOf({ storedJobs: 20_001, passedJobs: 20_001 })).toMatchObject({ percent: 100 })
    expect(progressOf({ storedJobs: 19_999 })).toMatchObject({ percent: 99 })
    expect(progressOf({ runs: [{ ...RUN, latestTotal: 0 }], storedJobs: 0 })).toMatchObject({ percent: 100 })
  })

  test('of an account with open jobs reads their pages again after each wait', () => {
    expect(progressOf({ openPages: 7 }).doneAt).toBe(planned(15_000, NOW, { openPages: 7 }))
  })

  test('of three accounts that share the budget takes the windows of all three', () => {
    const end = (sharers: number) => Date.parse(progressOf({ sharers }).doneAt ?? '')

    // 903 requests in place of 301: seven windows of 150 in place of three, of which the one under way is the first.
    expect(new Set([1, 3].map((sharers) => Math.floor((end(sharers) - NOW.getTime()) / (15 * MINUTE))))).toEqual(
      new Set([2, 6]),
    )
  })

  test('of three accounts without a rate limit takes no longer for the others', () => {
    const limits = { now: NOW, rateLimit: { ...RATE_LIMIT, requests: null } }
    const state = { ...STATE, rateLimit: null }

    expect(progressOf({ state, sharers: 3 }, limits).doneAt).toBe(progressOf({ state }, limits).doneAt)
  })

  test('without a rate limit takes the time of its requests', () => {
    const rateLimit = { ...RATE_LIMIT, requests: null }
    const state = { ...STATE, rateLimit: null, rateRemaining: null }

    expect(progressOf({ state }, { now: NOW, rateLimit }).doneAt).toBe(
      new Date(NOW.getTime() + 301 * 200).toISOString(),
    )
  })

  test('uses the configured limit where the API reports none', () => {
    const state = { ...STATE, rateLimit: null, rateRemaining: null }

    expect(progressOf({ state }).doneAt).toBe(planned(15_000, NOW))
  })
})

describe('a full pass of an account that is whole', () => {
  const state = { ...STATE, isWhole: true, lastCompleteAt: at(-31) }

  test('is no first load: it counts what it has read again', () => {
    const progress = progressOf({ state, storedJobs: 20_000 })

    expect(progress).toMatchObject({ kind: 'reread', doneJobs: 5_000, listedJobs: 20_000, percent: 25 })
    expect(toProgressText(progress)).toBe('5,000 of 20,000 jobs read again (25 %), done about 21:01 UTC')
  })

  test('is the same after it has lost its ground', () => {
    expect(progressOf({ state: { ...state, isWhole: false }, passedJobs: 0 })).toMatchObject({
      ...{ kind: 'reread', doneJobs: 0, percent: 0 },
    })
  })

  test('has no progress before it begins and after it ends', () => {
    expect(toLoadProgress({ ...FACTS, state: { ...state, fullStartedAt: null } }, OPTIONS)).toBeNull()
  })
})

test('times are rounded up, and near ones have seconds', () => {
  const progress = progressOf({ runs: [{ ...RUN, waitsUntil: new Date(NOW.getTime() + 30_001) }] })

  expect(toProgressText({ ...progress, doneAt: '2026-03-01T23:09:00.001Z' })).toBe(
    '5,000 of 20,000 jobs (25 %), waiting for the request budget until 20:30:31, done about 23:10 UTC',
  )
})

test('an end on another day shows the day', () => {
  const runs = [{ ...RUN, latestTotal: 200_000 }]

  expect(toProgressText(progressOf({ runs }))).toMatch(/, done about 2 Mar \d\d:\d\d UTC$/)
})

describe('in the database', () => {
  const read = (db: Parameters<typeof readLoadProgress>[0]) => readLoadProgress(db, { account: 'default', ...OPTIONS })

  /** Four jobs, two of which are above 2026-02-03, one that is removed, and an item in quarantine. */
  const JOBS = `
    INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at, removed_at)
    SELECT gen_random_uuid(), account, 'completed', 1, 1, 0, created_at::timestamptz, removed_at
    FROM (VALUES ('default', '2026-02-05', null), ('default', '2026-02-04', null), ('default', '2026-02-02', null),
      ('default', '2026-02-01', null), ('default', '2026-02-06', now()), ('other', '2026-02-06', null))
      AS job (account, created_at, removed_at);
    INSERT INTO spidra.rejected_jobs (account, fingerprint, payload, reason, run_id) VALUES ('default', 'a', '{}', 'no uuid', 1);
    INSERT INTO spidra.sync_runs (account, mode, trigger, worker, started_at, heartbeat_at, requests, latest_total)
    VALUES ('default', 'full', 'startup', 'worker:1', '2026-03-01T20:29:00Z', '2026-03-01T20:29:50Z', 10, 10)`

  test('a first load counts stored jobs and items in quarantine', async () => {
    await using database = await createTestDatabase()
    await database.sql(JOBS)
    await database.sql(`INSERT INTO spidra.sync_state (account, full_started_at, bottom_created_at)
      VALUES ('default', '2026-03-01T20:29:00Z', '2026-02-01')`)

    expect(await read(database.db)).toMatchObject({ kind: 'first_load', doneJobs: 5, listedJobs: 10, percent: 50 })
  })

  test('a full pass counts from the top of the list to its position', async () => {
    await using database = await createTestDatabase()
    await database.sql(JOBS)
    await database.sql(`INSERT INTO spidra.sync_state (account, is_whole, last_complete_at, full_started_at, full_created_at)
      VALUES ('default', true, '2026-03-01T20:00:00Z', '2026-03-01T20:29:00Z', '2026-02-03')`)

    expect(await read(database.db)).toMatchObject({ kind: 'reread', doneJobs: 3, listedJobs: 10, percent: 30 })
  })

  test('loads of one machine share its budget, if they were read within the last hour', async () => {
    await using database = await createTestDatabase()
    await database.sql(JOBS)
    const state = (account: string, worker: string, heartbeat: string) =>
      database.sql(`
        INSERT INTO spidra.sync_state (account, full_started_at) VALUES ('${account}', now())
          ON CONFLICT (account) DO UPDATE SET full_started_at = now();
        DELETE FROM spidra.sync_runs WHERE account = '${account}';
        INSERT INTO spidra.sync_runs (account, mode, trigger, worker, started_at, heartbeat_at, requests, latest_total)
        VALUES ('${account}', 'full', 'startup', '${worker}', now() - interval '2 hours', ${heartbeat}, 36000, 100000)`)
    const now = new Date()
    const end = async () => {
      const progress = await readLoadProgress(database.db, { account: 'default', now, rateLimit: RATE_LIMIT })
      return Date.parse(progress?.doneAt ?? '') - now.getTime()
    }

    await state('default', 'here:1', 'now()')
    const alone = await end()
    await state('elsewhere', 'there:1', 'now()')
    await state('left', 'here:3', `now() - interval '61 minutes'`)
    expect(await end()).toBeCloseTo(alone, -4)
    await state('second', 'here:2', 'now()')
    expect((await end()) / alone).toBeGreaterThan(1.9)
  })

  test('an account without a pass under way has none', async () => {
    await using database = await createTestDatabase()
    expect(await read(database.db)).toBeNull()
    await database.sql(`INSERT INTO spidra.sync_state (account, is_whole) VALUES ('default', true)`)
    await database.sql(JOBS)

    expect(await read(database.db)).toBeNull()
  })
})
