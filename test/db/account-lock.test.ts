import { once } from 'node:events'
import { expect, test } from 'vitest'
import { type AccountLock, LockLostError, lockAccount } from '../../src/db/account-lock.js'
import { openDatabase } from '../../src/db/client.js'
import { openTransaction, untilBlocked } from '../support/blocking.js'
import { openRun } from '../support/job-rows.js'
import { openPoolingProxy } from '../support/pooling-proxy.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql, url } = database

test('one worker holds the lock of an account, whatever locks others hold', async () => {
  await using first = await hold('ada')

  expect(await lockAccount(url, db, 'ada')).toBeNull()
  await using other = await hold('bob')
  expect([first.lost.aborted, other.lost.aborted]).toEqual([false, false])
})

test('one of ten workers gets the lock, and the others leave no connection behind', async () => {
  const locks = await Promise.all(Array.from({ length: 10 }, () => lockAccount(url, db, 'ada')))

  expect(locks.filter((lock) => lock !== null)).toHaveLength(1)
  await expect.poll(countLockConnections, { timeout: 10_000 }).toBe(1)
  for (const lock of locks) await lock?.release()
})

test('a release frees the account at once, and does not count as a lost lock', async () => {
  const lock = await lockOf('ada')
  await lock.release()

  await using _next = await hold('ada')
  expect(lock.lost.aborted).toBe(false)
})

test('a terminated connection frees the account, and its holder is notified', async () => {
  const lock = await lockOf('ada')
  const lost = once(lock.lost, 'abort')
  await endLockConnections()
  await lost

  expect(lock.lost.reason).toBeInstanceOf(LockLostError)
  expect(lock.lost.reason).toMatchObject({ code: 'lock_lost', message: expect.stringContaining('account ada') })
  await using _next = await hold('ada')
  await lock.release()
})

test('a holder with a fresh heartbeat keeps the lock', async () => {
  await using holder = await hold('ada')
  await openRun(db, 'ada')
  await silence(59)

  expect(await lockAccount(url, db, 'ada')).toBeNull()
  expect(await readRuns()).toEqual([{ status: 'running', code: null }])
  expect(holder.lost.aborted).toBe(false)
})

test('a holder without a heartbeat for a minute loses the lock: its run is closed, its connection terminated', async () => {
  const dead = await lockOf('ada')
  await openRun(db, 'ada')
  await openRun(db, 'bob')
  await silence(61)
  const lost = once(dead.lost, 'abort')

  await using _next = await hold('ada')

  await lost
  expect(await readRuns()).toEqual([
    { status: 'aborted', code: 'worker_lost' },
    { status: 'running', code: null },
  ])
  expect(await countLockConnections()).toBe(1)
})

test('one of several workers takes over from a dead holder, and the others skip', async () => {
  const dead = await lockOf('ada')
  await openRun(db, 'ada')
  await silence(61)

  const locks = await Promise.all(Array.from({ length: 4 }, () => lockAccount(url, db, 'ada')))

  expect(locks.filter((lock) => lock !== null)).toHaveLength(1)
  expect(dead.lost.aborted).toBe(true)
  for (const lock of locks) await lock?.release()
})

test('a takeover waits until the run is closed, and gives up when a heartbeat comes first', async () => {
  await using holder = await hold('ada')
  await openRun(db, 'ada')
  await silence(61)
  await using beating = await openTransaction(database)
  await beating.query('UPDATE spidra.sync_runs SET heartbeat_at = now()')

  const taking = lockAccount(url, db, 'ada')
  await untilBlocked(database, 1)
  await beating.commit()

  expect(await taking).toBeNull()
  expect(await readRuns()).toEqual([{ status: 'running', code: null }])
  expect(holder.lost.aborted).toBe(false)
})

test('a record that a killed worker left behind does not make the next holder look dead', async () => {
  await openRun(db, 'ada')
  await sql(
    `UPDATE spidra.sync_runs SET started_at = now() - interval '1 hour', heartbeat_at = now() - interval '1 hour'`,
  )
  await using holder = await hold('ada')

  expect(await lockAccount(url, db, 'ada')).toBeNull()
  expect(holder.lost.aborted).toBe(false)
})

test('refuses a proxy that shares connections by transaction, and leaves no lock behind', async () => {
  await using proxy = await openPoolingProxy(url)
  await using pooled = { db: openDatabase(proxy.url), [Symbol.asyncDispose]: () => pooled.db.$disconnect() }
  await expect(pooled.db.$queryRaw`SELECT 1 AS one`).resolves.toEqual([{ one: 1 }])

  await expect(lockAccount(proxy.url, pooled.db, 'ada')).rejects.toMatchObject({
    name: 'DatabaseError',
    code: 'pooled',
  })

  await using _next = await hold('ada')
})

test('a database that cannot be reached is an error, and gives no lock', async () => {
  const elsewhere = new URL(url)
  elsewhere.pathname = '/no_such_jobs'

  await expect(lockAccount(elsewhere.href, db, 'ada')).rejects.toMatchObject({ code: '3D000' })
})

async function lockOf(account: string): Promise<AccountLock> {
  const lock = await lockAccount(url, db, account)
  return lock ?? expect.fail(`account ${account} is held by another`)
}

/** The lock, released at the end of the block. */
async function hold(account: string): Promise<AccountLock & AsyncDisposable> {
  const lock = await lockOf(account)
  return { ...lock, [Symbol.asyncDispose]: lock.release }
}

/** As if account ada's worker had last been heard of so many seconds ago. */
async function silence(seconds: number): Promise<void> {
  await sql(`UPDATE spidra.sync_runs SET heartbeat_at = now() - make_interval(secs => $1) WHERE account = 'ada'`, [
    seconds,
  ])
}

function readRuns() {
  return sql('SELECT status, error_code AS code FROM spidra.sync_runs ORDER BY id')
}

const LOCK_CONNECTIONS = `pg_stat_activity WHERE datname = current_database() AND application_name = 'spidra-sync lock'`

async function countLockConnections(): Promise<number> {
  return (await sql(`SELECT pid FROM ${LOCK_CONNECTIONS}`)).length
}

async function endLockConnections(): Promise<void> {
  await sql(`SELECT pg_terminate_backend(pid) FROM ${LOCK_CONNECTIONS}`)
}
