import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type DatabaseOptions, openDatabase, PREPARED } from '../../src/db/client.js'
import { toDatabaseError } from '../../src/db/connection-error.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { openRelay } from '../support/relay.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { createTestDatabase } from '../support/test-database.js'

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

test('statements that a pooler misplaced at the same moment are all sent again, without a name', async () => {
  await using pool = openPool(database.url)
  const each = <T>(ask: () => Promise<T>) => Promise.all([1, 2, 3, 4].map(ask))
  const prepared = () => pool.db.$queryRaw`${PREPARED}SELECT ${7}::integer AS seven, pg_sleep(0.1)::text`
  const names = () =>
    pool.db.$queryRaw`SELECT name, pg_sleep(0.1)::text FROM pg_prepared_statements WHERE name LIKE 'spidra%'`

  await each(prepared)
  expect((await each(names)).map((rows) => (rows as unknown[]).length)).toEqual([1, 1, 1, 1])
  await each(() => pool.db.$executeRawUnsafe('DEALLOCATE ALL'))

  expect(await each(prepared)).toEqual([1, 2, 3, 4].map(() => [{ seven: 7, pg_sleep: '' }]))
  expect((await each(names)).flat()).toEqual([])
})

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

test('a statement that begins after the abort has a short deadline', async () => {
  const stopper = new AbortController()
  await using relay = await openRelay(database.url)
  await using pool = openPool(relay.url, { deadlineMs: 60_000, signal: stopper.signal })
  await fillPool(pool)
  relay.forget()
  stopper.abort()
  await setTimeout(100)

  const { code, ms } = await failure(pool.db.$queryRaw`SELECT 1 AS one`)
  expect(code).toBe('no_answer')
  expect(ms).toBeLessThan(8_000)
})

test('the transaction of another client of the pool is not cut with a silent statement', async () => {
  await using pool = openPool(database.url)
  await using _lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
  let locked: Promise<unknown> | undefined
  const answers = await pool.db.$transaction(async (transaction) => {
    const first = await transaction.$queryRaw`SELECT 1 AS one`
    locked = failure(pool.db.batchJob.count())
    await locked
    return [first, await transaction.$queryRaw`SELECT 2 AS two`]
  })

  expect(await locked).toMatchObject({ code: 'no_answer' })
  expect(answers).toEqual([[{ one: 1 }], [{ two: 2 }]])
})

test('a proxy that drops the time zone of a connection is refused, where times would be wrong', async () => {
  await using own = await createTestDatabase()
  await own.sql(`ALTER DATABASE "${own.name}" SET TimeZone = 'America/New_York'`)
  await using dropping = await openDroppingProxy(own.url)
  await using pool = openPool(dropping.url)

  expect(await failure(pool.db.$queryRaw`SELECT 1 AS one`)).toMatchObject({
    code: 'time_zone',
    message: expect.stringMatching(/\(the time zone is America\/New_York\).*ALTER DATABASE/),
  })
  await own.sql(`ALTER DATABASE "${own.name}" SET TimeZone = 'Etc/UTC'`)
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

/** Starts a proxy that passes on only user and database at the start of a connection. */
async function openDroppingProxy(target: string) {
  const { hostname, port } = new URL(target)
  const server = createServer((near) => {
    const far = connect(Number(port), hostname)
    near.on('error', () => far.destroy()).on('close', () => far.destroy())
    far.on('error', () => near.destroy()).on('close', () => near.destroy())
    near.once('data', (startup: Buffer) => {
      const words = startup.subarray(8).toString().split('\0')
      const kept = ['user', 'database'].flatMap((name) => [name, words[words.indexOf(name) + 1] ?? ''])
      const body = Buffer.concat([startup.subarray(4, 8), Buffer.from(`${kept.join('\0')}\0\0`)])
      const length = Buffer.alloc(4)
      length.writeInt32BE(body.length + 4)
      far.write(Buffer.concat([length, body]))
      near.pipe(far).pipe(near)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(typeof address === 'object' ? address?.port : '')
  return { url: url.href, [Symbol.asyncDispose]: async () => void server.close() }
}
