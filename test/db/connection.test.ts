import { expect, test } from 'vitest'
import { type DatabaseOptions, openDatabase } from '../../src/db/client.js'
import { toDatabaseError } from '../../src/db/connection-error.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { openRelay } from '../support/relay.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()

const DEADLINE_MS = 400

function openPool(url: string, options: DatabaseOptions = {}) {
  const db = openDatabase(url, { deadlineMs: DEADLINE_MS, ...options })
  return { db, [Symbol.asyncDispose]: () => db.$disconnect() }
}

/** The code of the error, and how long it took. */
async function failure(work: Promise<unknown>): Promise<{ code: string | undefined; message: string; ms: number }> {
  const startedAt = performance.now()
  const error = await work.then(
    () => expect.fail('the statement was answered'),
    (thrown: unknown) => toDatabaseError(thrown, database.url),
  )
  return { code: error?.code, message: error?.message ?? '', ms: performance.now() - startedAt }
}

/** Fills the pool with four connections, all idle. */
async function fillPool({ db }: { db: ReturnType<typeof openDatabase> }): Promise<void> {
  await Promise.all([1, 2, 3, 4].map(() => db.$queryRaw`SELECT pg_sleep(0.1)::text`))
}

test('a statement on a connection that became silent fails after its deadline, and the next one is answered at once', async () => {
  await using relay = await openRelay(database.url)
  await using pool = openPool(relay.url)
  await fillPool(pool)
  relay.forget()

  const { code, message, ms } = await failure(pool.db.$queryRaw`SELECT 1 AS one`)
  expect({ code, message }).toEqual({ code: 'no_answer', message: expect.stringContaining('within 0.4 s') })
  expect(ms).toBeGreaterThanOrEqual(DEADLINE_MS)

  // The other three connections are silent as well.
  const startedAt = performance.now()
  expect(await Promise.all([1, 2, 3].map(() => pool.db.$queryRaw`SELECT 1 AS one`))).toHaveLength(3)
  expect(performance.now() - startedAt).toBeLessThan(DEADLINE_MS)
})

test('a transaction on a silent connection fails, and leaves no silent connection in the pool', async () => {
  await using relay = await openRelay(database.url)
  await using pool = openPool(relay.url)
  const work = pool.db.$transaction(async (transaction) => {
    await transaction.$queryRaw`SELECT 1 AS one`
    relay.forget()
    await transaction.$queryRaw`SELECT 2 AS two`
  })

  expect(await failure(work)).toMatchObject({ code: 'no_answer' })
  expect(await pool.db.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
})

test('a statement that waits for a lock fails after its deadline, and is cancelled on the server', async () => {
  await using _lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
  await using pool = openPool(database.url)
  const waiting = failure(pool.db.batchJob.count())
  await untilBlocked(database, 1)

  expect(await waiting).toMatchObject({ code: 'no_answer' })
  await expect
    .poll(() => database.sql(`SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'spidra.batch_jobs'::regclass`))
    .toEqual([])
})

test('a statement that is answered in time is not touched, however many came before it', async () => {
  await using pool = openPool(database.url)
  for (let count = 0; count < 4; count += 1) await pool.db.$queryRaw`SELECT pg_sleep(0.2)::text`

  expect(await pool.db.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
})

test('an abort ends a statement that does not end by itself, and the pool can still write', async () => {
  const stopper = new AbortController()
  await using relay = await openRelay(database.url)
  await using pool = openPool(relay.url, { deadlineMs: 60_000, signal: stopper.signal })
  await fillPool(pool)
  relay.forget()
  const silent = failure(pool.db.$queryRaw`SELECT 1 AS one`)
  stopper.abort()

  expect((await silent).ms).toBeLessThan(10_000)
  expect(await pool.db.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
})

test('a server that answers no new connection either is an error too', async () => {
  await using relay = await openRelay(database.url)
  await using pool = openPool(relay.url, { connectTimeoutMs: 500 })
  await pool.db.$queryRaw`SELECT 1 AS one`
  relay.freeze()

  expect(await failure(pool.db.$queryRaw`SELECT 1 AS one`)).toMatchObject({ code: 'no_answer' })
  expect((await failure(pool.db.$queryRaw`SELECT 1 AS one`)).code).toMatch(/^(unreachable|busy)$/)
  relay.thaw()
  await expect.poll(() => pool.db.$queryRaw`SELECT 1 AS one`.catch(() => null)).toEqual([{ one: 1 }])
})
