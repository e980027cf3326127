import { describe, expect, test } from 'vitest'
import { openDatabase } from '../../src/db/client.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { openTransaction, untilBlocked } from '../support/blocking.js'
import { readJobs } from '../support/job-rows.js'
import { raiseOn } from '../support/raising-trigger.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { runAgainst } from '../support/sync-runner.js'

const database = await shareTestDatabase()
const { sql } = database

const simulate = (options: SimulatorOptions = {}) => startSimulator({ jobs: 600, rateLimit: 'off', ...options })

/** Connections that begin with settings of the test's own, as a role or a database can have them. */
async function withSettings(settings: Readonly<Record<string, string>>) {
  const url = new URL(database.url)
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`)
  url.searchParams.set('options', options.join(' '))
  const db = openDatabase(url.href)
  return { db, url: database.url, [Symbol.asyncDispose]: () => db.$disconnect() }
}

const runs = () => sql('SELECT status, error_code AS code, error_message AS message FROM spidra.sync_runs ORDER BY id')

/** The table is the list: no job too many, none too few, each as it is listed. */
async function expectSameSet(api: Simulator): Promise<void> {
  const stored = (await readJobs(database)).filter(({ isRemoved }) => !isRemoved)
  const listed = [...api.account.allUuids()].map((uuid) => api.account.job(uuid))
  expect(new Map(stored.map(({ uuid, status, completedCount }) => [uuid, `${status} ${completedCount}`]))).toEqual(
    new Map(listed.map((job) => [job?.uuid, `${job?.status} ${job?.completedCount}`])),
  )
}

const COLLISIONS = [
  ['serialization_failure', '40001'],
  ['deadlock_detected', '40P01'],
  ['lock_not_available', '55P03'],
] as const
const TABLES = ['batch_jobs', 'sync_state', 'sync_runs'] as const

describe.each(COLLISIONS)('%s', (_, sqlState) => {
  test.each(TABLES)('two times in spidra.%s: the statement is tried again, and the run is complete', async (table) => {
    await using api = await simulate()
    await using trigger = await raiseOn(database, `spidra.${table}`, sqlState, { times: 2 })

    const { summary, error, warnings } = await runAgainst(api, database, { mode: 'full' })

    expect([summary.status, error]).toEqual(['complete', null])
    expect(await trigger.attempts()).toBeGreaterThan(2)
    expect(warnings).toEqual(['statement will be tried again', 'statement will be tried again'])
    expect(await runs()).toEqual([{ status: 'complete', code: null, message: null }])
    await expectSameSet(api)
  })
})

describe('what does not pass by itself', () => {
  const FAULTS = [
    [
      '40P01',
      'conflict',
      7,
      /^Another client locked rows .*\(raised in the way, for a test, SQLSTATE 40P01\): end its/,
    ],
    ['53100', 'disk_full', 1, /has no disk space left \(.*SQLSTATE 53100\): make room for it\.$/],
    ['57P01', 'unreachable', 1, /^Cannot reach .*SQLSTATE 57P01\): check host and port in DATABASE_URL/],
    ['57014', 'time_limit', 1, /cancelled a statement .*raise the statement_timeout of user "/],
    ['25006', 'read_only', 1, /is read-only .*point DATABASE_URL at the primary server/],
    ['42501', 'permission', 1, /lacks a right .*let it own the schemas spidra and spidra_reporting/],
  ] as const

  test.each(FAULTS)('%s: the record says in one line what to do, and the next run is complete', async (...fault) => {
    const [sqlState, code, attempts, says] = fault
    await using api = await simulate()
    await using trigger = await raiseOn(database, 'spidra.batch_jobs', sqlState)

    const { summary, error } = await runAgainst(api, database, { mode: 'full' })

    expect(summary.status).toBe('failed')
    expect(error).toMatchObject({ name: 'DatabaseError', code })
    expect(await trigger.attempts()).toBe(attempts)
    const message = error?.message ?? ''
    expect(message).toMatch(says)
    expect(message).not.toContain('\n')
    expect(await runs()).toEqual([{ status: 'failed', code, message }])

    await trigger.remove()
    expect((await runAgainst(api, database, { mode: 'full' })).summary.status).toBe('complete')
    await expectSameSet(api)
  })

  test('a run that is told to stop does not wait for its next attempt', async () => {
    await using api = await simulate()
    await using trigger = await raiseOn(database, 'spidra.batch_jobs', '40001')
    const stopper = new AbortController()
    const running = runAgainst(api, database, { mode: 'full', signal: stopper.signal })
    await expect.poll(() => trigger.attempts(), { interval: 1 }).toBeGreaterThan(0)
    stopper.abort(new Error('told to stop'))

    expect((await running).summary.status).toBe('aborted')

    expect(await trigger.attempts()).toBeLessThan(7)
    expect(await runs()).toMatchObject([{ status: 'aborted', code: 'stopped' }])
  })
})

describe('a second writer', () => {
  test('that holds rows longer than lock_timeout: waited for, and the run is complete', async () => {
    await using api = await simulate()
    await runAgainst(api, database, { mode: 'full' })
    const [uuid = ''] = api.account.allUuids()
    api.account.updateJob(uuid, { status: 'running', completedCount: 1 })
    await using impatient = await withSettings({ lock_timeout: '20ms' })
    await using writer = await openTransaction(database)
    await writer.query('SELECT 1 FROM spidra.batch_jobs WHERE uuid = $1 FOR UPDATE', [uuid])

    const running = runAgainst(api, impatient, { mode: 'full' })
    await untilBlocked(database, 1)
    await untilBlocked(database, 0)
    await writer.commit()

    const { summary, warnings } = await running
    expect(summary).toMatchObject({ status: 'complete', updated: 1 })
    expect(warnings).toContain('statement will be tried again')
    await expectSameSet(api)
  })

  test('that locks the same rows the other way round: the merge loses the deadlock, and is done again', async () => {
    await using api = await simulate()
    await runAgainst(api, database, { mode: 'full' })
    const head = [...api.account.allUuids()].slice(0, 50).sort()
    const [low = '', middle = '', high = ''] = [head[0], head[25], head[49]]
    for (const uuid of [low, middle, high]) api.account.updateJob(uuid, { status: 'running', completedCount: 1 })
    const lock = 'SELECT 1 FROM spidra.batch_jobs WHERE uuid = $1 FOR UPDATE'
    // Who waits for his deadlock_timeout looks once, and is the one that gives way if he finds a circle.
    await using quick = await withSettings({ deadlock_timeout: '10ms' })
    await using brake = await openTransaction(database)
    await brake.query(lock, [middle])
    await using writer = await openTransaction(database)
    await writer.query(`SET LOCAL deadlock_timeout = '10min'`)
    await writer.query(lock, [high])

    const running = runAgainst(api, quick, { mode: 'full' })
    await untilBlocked(database, 1)
    const waiting = writer.query(lock, [low])
    await untilBlocked(database, 2)
    await brake.commit()
    await waiting
    await writer.commit()

    const { summary, warnings } = await running
    expect(summary).toMatchObject({ status: 'complete', updated: 3 })
    expect(warnings).toEqual(['statement will be tried again'])
    await expectSameSet(api)
  })

  test('that spoils, deletes and takes away rows in mid-run: the next full run has them all as they are listed', async () => {
    const spoil = async () => {
      await sql(`UPDATE spidra.batch_jobs SET status = 'spoilt', completed_count = 999 WHERE uuid::text < '4'`)
      await sql(`DELETE FROM spidra.batch_jobs WHERE uuid::text BETWEEN '4' AND '8'`)
      await sql(`UPDATE spidra.batch_jobs SET removed_at = now() WHERE uuid::text BETWEEN '8' AND 'b'`)
      await sql(`UPDATE spidra.batch_jobs SET account = 'another' WHERE uuid::text > 'b'`)
    }
    await using api = await simulate({ beforeAnswer: ({ number }) => (number === 11 ? spoil() : undefined) })

    const first = await runAgainst(api, database, { mode: 'full' })
    const second = await runAgainst(api, database, { mode: 'full' })

    expect(first.summary.status).not.toBe('failed')
    expect(second.summary.status).toBe('complete')
    await expectSameSet(api)
  })
})

describe('connections that are lost in mid-run', () => {
  const endConnections = (name: string) =>
    sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = $1`,
      [name],
    )

  test('of the pool, between two statements: the run goes on with new ones', async () => {
    await using product = await withSettings({})
    await using api = await simulate({
      // Nothing has been asked of the database yet that is not answered.
      beforeAnswer: async ({ number }) => {
        if (number !== 1) return
        await endConnections('spidra-sync')
        // The pool learns of it by the network: not before the next statement, on a busy machine.
        await expect.poll(() => product.db.$queryRaw`SELECT 1`.catch(() => null)).not.toBeNull()
      },
    })

    const { summary, error } = await runAgainst(api, product, { mode: 'full' })

    expect([summary.status, error]).toEqual(['complete', null])
    await expectSameSet(api)
  })

  test('of the pool, in a statement: the run fails and says so, and the next one is complete', async () => {
    await using product = await withSettings({})
    await using api = await simulate()
    await using writer = await openTransaction(database)
    await writer.query('LOCK TABLE spidra.batch_jobs IN SHARE MODE')

    const running = runAgainst(api, product, { mode: 'full' })
    await untilBlocked(database, 1)
    await endConnections('spidra-sync')
    await writer.commit()

    expect(await running).toMatchObject({ summary: { status: 'failed' }, error: { code: 'unreachable' } })
    expect(await runs()).toEqual([
      { status: 'failed', code: 'unreachable', message: expect.stringMatching(/^Cannot reach Postgres at [^\n]+$/) },
    ])
    expect((await runAgainst(api, product, { mode: 'full' })).summary.status).toBe('complete')
    await expectSameSet(api)
  })
})
