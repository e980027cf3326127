import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { beatRun, isAccountRunning, startRun } from '../../src/db/run-lease.js'
import { finishRun, RunClosedError, type RunKey } from '../../src/db/sync-runs.js'
import { openTransaction, untilBlocked } from '../support/blocking.js'
import { RUN_END } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

/** A process that is alive during the tests, and one that is not. */
const LIVING = `test:${process.pid}`
const GONE = 'test:4194305'

const start = (account = 'ada', worker = LIVING) =>
  startRun(db, { account, mode: 'incremental', trigger: 'schedule', worker })

async function startOrFail(account?: string, worker?: string): Promise<RunKey> {
  return (await start(account, worker)) ?? expect.fail('another worker runs the account')
}

const readRuns = () => sql('SELECT status, error_code AS code FROM spidra.sync_runs ORDER BY id')

/** As if the running workers had last advanced so many seconds ago. */
const silence = (seconds: number) =>
  sql(`UPDATE spidra.sync_runs SET heartbeat_at = now() - make_interval(secs => $1) WHERE status = 'running'`, [
    seconds,
  ])

/** As if they ran on another machine, or in another container. */
const moveElsewhere = () => sql(`UPDATE spidra.sync_runs SET pid_namespace = 'elsewhere' WHERE status = 'running'`)

test('opens a record with account, mode, trigger and worker, and a fresh heartbeat', async () => {
  const run = await startOrFail('ada', 'host:42')

  expect(run).toEqual({ id: expect.any(BigInt), account: 'ada' })
  expect(
    await sql(`
      SELECT id, account, mode, trigger, worker, status, finished_at, heartbeat_at = started_at AS fresh
      FROM spidra.sync_runs`),
  ).toEqual([
    {
      id: `${run.id}`,
      account: 'ada',
      mode: 'incremental',
      trigger: 'schedule',
      worker: 'host:42',
      status: 'running',
      finished_at: null,
      fresh: true,
    },
  ])
})

test('one worker runs an account, whatever others run', async () => {
  await startOrFail('ada')

  expect(await start('ada')).toBeNull()
  expect(await start('bob')).not.toBeNull()
})

test('one of ten workers that come at once runs the account', async () => {
  const runs = await Promise.all(Array.from({ length: 10 }, () => start()))

  expect(runs.filter((run) => run !== null)).toHaveLength(1)
})

test('an account is free as soon as its run has ended', async () => {
  await finishRun(db, await startOrFail(), RUN_END)

  expect(await start()).not.toBeNull()
})

test('a worker keeps its account for a minute after its last heartbeat', async () => {
  await startOrFail()
  await silence(59)
  expect(await start()).toBeNull()
  await silence(61)

  expect(await start()).not.toBeNull()
  expect(await readRuns()).toEqual([
    { status: 'aborted', code: 'worker_lost' },
    { status: 'running', code: null },
  ])
})

test('one of several workers takes over from a dead one, and the others skip', async () => {
  await startOrFail()
  await startOrFail('bob')
  await silence(61)

  const runs = await Promise.all(Array.from({ length: 4 }, () => start()))

  expect(runs.filter((run) => run !== null)).toHaveLength(1)
  expect(await readRuns()).toEqual([
    { status: 'aborted', code: 'worker_lost' },
    { status: 'running', code: null },
    { status: 'running', code: null },
  ])
})

test('a takeover waits for the heartbeat that is being written, and gives up', async () => {
  await startOrFail()
  await silence(61)
  await using beating = await openTransaction(database)
  await beating.query('UPDATE spidra.sync_runs SET heartbeat_at = now()')

  const taking = start()
  await untilBlocked(database, 1)
  await beating.commit()

  expect(await taking).toBeNull()
  expect(await readRuns()).toEqual([{ status: 'running', code: null }])
})

test.runIf(process.platform === 'linux').each([
  ['a process of this system that is gone loses its account at once', GONE, false, true],
  ['a process of this system that lives keeps it', LIVING, false, false],
  ['a process number of another system says nothing', GONE, true, false],
])('%s', async (_, worker, isElsewhere, isFree) => {
  await startOrFail('ada', worker)
  if (isElsewhere) await moveElsewhere()

  expect(await isAccountRunning(db, 'ada')).toBe(!isFree)
  expect((await start()) !== null).toBe(isFree)
})

test.runIf(process.platform === 'linux')('a killed process is gone, a stopped one is not', async () => {
  const child: ChildProcess = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  await once(child, 'spawn')
  await startOrFail('ada', `test:${child.pid}`)
  child.kill('SIGSTOP')
  expect(await start()).toBeNull()
  child.kill('SIGKILL')
  await once(child, 'exit')

  expect(await start()).not.toBeNull()
})

test('an account counts as running for as long as its worker keeps it, or for the time given after its start', async () => {
  expect(await isAccountRunning(db, 'ada')).toBe(false)
  const run = await startOrFail()
  expect([await isAccountRunning(db, 'ada'), await isAccountRunning(db, 'bob')]).toEqual([true, false])
  await finishRun(db, run, RUN_END)

  expect(await isAccountRunning(db, 'ada')).toBe(false)
  expect(await isAccountRunning(db, 'ada', { startedWithinMs: 60_000 })).toBe(true)
})

/** A heartbeat that reports only counters. */
const REPORTED = { counters: RUN_END, latestTotal: null, waitMs: 0, budget: null }

test('a heartbeat sets heartbeat_at and the counters, and no verdict', async () => {
  const run = await startOrFail()
  await sql(`UPDATE spidra.sync_runs SET heartbeat_at = '2020-01-01Z'`)

  await beatRun(db, run, { ...REPORTED, counters: { ...RUN_END, waitedMs: 12.4 } })

  expect(
    await sql(`
      SELECT status, finished_at, listed_total, stored_total, heartbeat_at > now() - interval '1 min' AS fresh,
        requests, retries, pages_read AS "pagesRead", seams_repaired AS "seamsRepaired", jobs_read AS "jobsRead",
        inserted, updated, unchanged, removed, restored, rejected, waited_ms AS "waitedMs"
      FROM spidra.sync_runs`),
  ).toEqual([
    {
      ...{ status: 'running', finished_at: null, listed_total: null, stored_total: null, fresh: true },
      ...{ requests: 1, retries: 2, pagesRead: 3, seamsRepaired: 4, jobsRead: 5, inserted: 6, updated: 7 },
      ...{ unchanged: 8, removed: 9, restored: 10, rejected: 11, waitedMs: 12 },
    },
  ])
})

test('a heartbeat reports the total of the list, the wait under way, and the budget of the account, in one statement', async () => {
  const run = await startOrFail()
  await sql(`INSERT INTO spidra.sync_state (account) VALUES ('${run.account}'), ('another')`)
  const resetAt = new Date('2026-03-01T12:10:00Z')
  const state = 'SELECT account, rate_limit, rate_remaining, rate_reset_at FROM spidra.sync_state ORDER BY account = $1'
  const waits = 'SELECT latest_total, round(extract(epoch FROM waits_until - now())) AS waits FROM spidra.sync_runs'

  await beatRun(db, run, {
    ...REPORTED,
    latestTotal: 20_000,
    waitMs: 60_400,
    budget: { limit: 300, remaining: 150, resetAt },
  })
  const [waiting] = await sql(waits)
  await beatRun(db, run, { ...REPORTED, latestTotal: 20_001 })

  expect(waiting).toEqual({ latest_total: 20_000, waits: '60' })
  expect(await sql(waits)).toEqual([{ latest_total: 20_001, waits: null }])
  expect(await sql(state, [run.account])).toEqual([
    { account: 'another', rate_limit: null, rate_remaining: null, rate_reset_at: null },
    { account: run.account, rate_limit: 300, rate_remaining: 150, rate_reset_at: resetAt },
  ])
})

test('waits are limited to what the column can hold', async () => {
  const run = await startOrFail()
  await beatRun(db, run, { ...REPORTED, counters: { ...RUN_END, waitedMs: 3e9 } })

  expect(await sql('SELECT waited_ms FROM spidra.sync_runs')).toEqual([{ waited_ms: 2_147_483_647 }])
})

test('a run that another worker closed learns it by its next heartbeat, which writes nothing', async () => {
  const run = await startOrFail()
  await silence(61)
  await startOrFail()
  const before = await readRuns()

  await expect(beatRun(db, run, REPORTED)).rejects.toThrow(RunClosedError)
  expect(await readRuns()).toEqual(before)
})
