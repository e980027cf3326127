import { describe, expect, test } from 'vitest'
import { type Database, openDatabase } from '../../src/db/client.js'
import { finishRun } from '../../src/db/sync-runs.js'
import { checkReadiness, decideFreshness } from '../../src/service/readiness.js'
import { openRun, RUN_END } from '../support/job-rows.js'
import { openRelay } from '../support/relay.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const check = (db: Database) => checkReadiness(db, { account: 'default', isArmed: true, intervalMs: 60_000 })

/** A pool of its own, closed at the end of the block. */
function pool(url: string): { db: Database } & AsyncDisposable {
  const db = openDatabase(url)
  return { db, [Symbol.asyncDispose]: () => db.$disconnect() }
}

test('a migrated database that answers is ready', async () => {
  await using database = await createTestDatabase()

  expect(await check(database.db)).toEqual({
    database: { ok: true, detail: 'answers' },
    migrations: { ok: true, detail: 'applied' },
    schedules: { ok: true, detail: 'armed' },
    freshness: { ok: true, detail: 'no complete run yet' },
  })
})

test('a read-only database is not ready', async () => {
  await using database = await createTestDatabase()
  await database.sql(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)
  await using readers = pool(database.url)

  expect(await check(readers.db)).toMatchObject({ database: { ok: false, detail: 'is read-only' } })
})

test('names an edited migration, and reports the database as ok', async () => {
  await using database = await createTestDatabase()
  await database.sql(`UPDATE spidra._prisma_migrations SET checksum = 'another' WHERE migration_name LIKE '%init'`)

  expect(await check(database.db)).toMatchObject({
    database: { ok: true },
    migrations: { ok: false, detail: expect.stringMatching(/^edited: \d{14}_init$/) },
  })
})

test('tells a refusal from no answer, and names the server in neither', async () => {
  await using database = await createTestDatabase()
  await using relay = await openRelay(database.url)
  await using away = pool(relay.url)
  await relay.cut()
  const role = `${database.name}_nobody`
  await database.sql(`CREATE ROLE ${role} LOGIN PASSWORD 'none'`)
  const url = new URL(database.url)
  url.username = role
  url.password = 'none'
  await using stranger = pool(url.href)

  expect(await check(away.db)).toEqual({
    database: { ok: false, detail: 'does not answer' },
    schedules: { ok: true, detail: 'armed' },
  })
  expect(await check(stranger.db)).toEqual({
    database: { ok: false, detail: 'refuses: permission' },
    schedules: { ok: true, detail: 'armed' },
  })
  await database.sql(`DROP ROLE ${role}`)
})

const MINUTE_MS = 60_000
const NOW = new Date('2026-03-01T12:00:00Z')
const ago = (minutes: number, ms = 0) => new Date(NOW.getTime() - minutes * MINUTE_MS - ms)
const NOTHING = { lastCompleteAt: null, failingSince: null, running: null, hasStalled: false }
const EVERY_FIVE = { intervalMs: 5 * MINUTE_MS }

test('a run that hung makes a fresh table not ready, until a good one', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await finishRun(db, await openRun(db), { ...RUN_END, status: 'failed', errorCode: 'stalled' })
  expect((await check(db)).freshness).toEqual({
    ok: false,
    detail: 'no complete run yet, and the last run no longer advanced',
  })
  await finishRun(db, await openRun(db), RUN_END)

  expect((await check(db)).freshness).toMatchObject({ ok: true })
})

describe('the table of an account', () => {
  test.each([
    ['every minute: 15 minutes', MINUTE_MS, 15, '15 min'],
    ['every five minutes: 15 minutes', 5 * MINUTE_MS, 15, '15 min'],
    ['every six minutes: three intervals', 6 * MINUTE_MS, 18, '18 min'],
    ['once a day: three days', 1_440 * MINUTE_MS, 4_320, '3 d'],
  ])('is fresh for the limit and not a millisecond longer, %s', (_, intervalMs, minutes, limit) => {
    const at = (instant: Date) => decideFreshness({ ...NOTHING, lastCompleteAt: instant }, { intervalMs }, NOW)

    expect(at(ago(minutes))).toEqual({ ok: true, detail: `complete as of ${ago(minutes).toISOString()}` })
    expect(at(ago(minutes, 1))).toEqual({
      ok: false,
      detail: `complete as of ${ago(minutes, 1).toISOString()}, more than ${limit} ago`,
    })
  })

  test('is judged by limits that can be scaled', () => {
    const rule = { intervalMs: 5_000, limits: { intervals: 2, minMs: 9_000 } }
    const at = (ms: number) => decideFreshness({ ...NOTHING, lastCompleteAt: ago(0, ms) }, rule, NOW).ok

    expect([at(10_000), at(10_001)]).toEqual([true, false])
  })

  test('that was complete: only the age of the verdict decides, not the runs', () => {
    const failing = { ...NOTHING, failingSince: ago(600) }
    const running = { ...NOTHING, running: { startedAt: ago(600), isAdvancing: true } }

    expect(decideFreshness({ ...failing, lastCompleteAt: ago(14) }, EVERY_FIVE, NOW).ok).toBe(true)
    expect(decideFreshness({ ...running, lastCompleteAt: ago(16) }, EVERY_FIVE, NOW).ok).toBe(false)
  })

  test('that was never complete is ready until runs have failed for exactly the limit', () => {
    const at = (failingSince: Date | null) => decideFreshness({ ...NOTHING, failingSince }, EVERY_FIVE, NOW)

    expect(at(null)).toEqual({ ok: true, detail: 'no complete run yet' })
    expect(at(ago(15)).ok).toBe(true)
    expect(at(ago(15, 1))).toEqual({
      ok: false,
      detail: `no complete run yet, and runs have failed since ${ago(15, 1).toISOString()}`,
    })
  })

  test('does not become less ready while a first pass waits for its budget', () => {
    const waiting = (minutes: number, ms = 0) =>
      decideFreshness(
        {
          ...NOTHING,
          failingSince: ago(90),
          running: { startedAt: ago(90 - minutes, -ms), isAdvancing: false },
        },
        EVERY_FIVE,
        NOW,
      ).ok

    expect([waiting(15), waiting(15, 1)]).toEqual([true, false])
  })

  test('is ready again as soon as a run gets further than the last failed one', () => {
    const facts = { ...NOTHING, failingSince: ago(600), running: { startedAt: ago(1), isAdvancing: true } }

    expect(decideFreshness(facts, EVERY_FIVE, NOW).ok).toBe(true)
  })

  test('without a schedule does not age, but is not ready once its last runs have failed for the limit', () => {
    const at = (lastCompleteAt: Date, failingSince: Date | null) =>
      decideFreshness({ ...NOTHING, lastCompleteAt, failingSince }, { intervalMs: null }, NOW).ok

    expect(at(ago(6_000), null)).toBe(true)
    expect([at(ago(6_000), ago(15)), at(ago(6_000), ago(15, 1))]).toEqual([true, false])
    // The run that failed at last came to a verdict on its way.
    expect(at(ago(10), ago(16))).toBe(true)
  })
})

describe('what the database says of failing runs', () => {
  /** Adds runs of an account, each from its age in minutes to a minute later. */
  async function addRuns(
    { sql }: TestDatabase,
    runs: readonly {
      status: string
      age: number
      reason?: string
      inserted?: number
      account?: string
      silent?: number
    }[],
  ): Promise<void> {
    for (const { status, age, reason = null, inserted = 0, account = 'default', silent = 0 } of runs) {
      await sql(
        `INSERT INTO spidra.sync_runs (account, mode, trigger, worker, status, status_reason, inserted, started_at,
           finished_at, heartbeat_at)
         SELECT $1, 'full', 'schedule', 'test:1', $2, $3, $4, now() - make_interval(mins => $5),
           CASE WHEN $2 <> 'running' THEN now() - make_interval(mins => $5 - 1) END, now() - make_interval(secs => $6)`,
        [account, status, reason, inserted, age, silent],
      )
    }
  }

  const failed = { status: 'failed' }
  const readiness = async (runs: Parameters<typeof addRuns>[1]) => {
    await using database = await createTestDatabase()
    await addRuns(database, runs)
    return (await check(database.db)).freshness
  }

  test.each<[string, boolean, Parameters<typeof addRuns>[1]]>([
    [
      'a key that is refused for longer than the limit',
      false,
      [
        { ...failed, age: 20 },
        { ...failed, age: 2 },
      ],
    ],
    [
      'a key that is refused for less',
      true,
      [
        { ...failed, age: 14 },
        { ...failed, age: 2 },
      ],
    ],
    ['a first pass of hours that has just failed', true, [{ ...failed, age: 2, inserted: 40_000 }]],
    ['verdicts that do not come out even', false, [{ status: 'partial', reason: 'page_faulty', age: 20 }]],
    [
      'a first pass that goes on from run to run',
      true,
      [
        { ...failed, age: 90 },
        { status: 'partial', reason: 'first_pass_unfinished', age: 10 },
      ],
    ],
    [
      'failures before one that was stopped',
      false,
      [
        { ...failed, age: 20 },
        { status: 'aborted', age: 2 },
      ],
    ],
    [
      'a run under way that has stored nothing',
      false,
      [
        { ...failed, age: 20 },
        { status: 'running', age: 2 },
      ],
    ],
    [
      'a run under way that stores jobs',
      true,
      [
        { ...failed, age: 20 },
        { status: 'running', age: 2, inserted: 50 },
      ],
    ],
    [
      'a run under way that has got no further than the last failed one',
      false,
      [
        { ...failed, age: 20, inserted: 50 },
        { status: 'running', age: 2, inserted: 50 },
      ],
    ],
    [
      'a run whose worker is gone',
      false,
      [
        { ...failed, age: 20 },
        { status: 'running', age: 18, inserted: 50, silent: 61 },
      ],
    ],
    ['failures of another account', true, [{ ...failed, age: 20, account: 'other' }]],
  ])('%s: ready is %s', async (_, ok, runs) => {
    expect(await readiness(runs)).toMatchObject({ ok, detail: expect.stringMatching(/^no complete run yet/) })
  })

  test('without an account, freshness is not checked: a process of a fleet is ready whatever its accounts are', async () => {
    await using database = await createTestDatabase()
    await addRuns(database, [{ ...failed, age: 600 }])

    const checks = await checkReadiness(database.db, { account: null, isArmed: true, intervalMs: null })

    expect(Object.keys(checks)).toEqual(['database', 'migrations', 'schedules'])
  })
})
