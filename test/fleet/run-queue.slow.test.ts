import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openRunQueue, type RunQueue, type TakenRun } from '../../src/fleet/run-queue.js'
import { readFleet } from '../../src/report/fleet.js'
import { DATABASE_PASSWORD } from '../support/cli.js'
import { PATIENCE } from '../support/service.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const silent = pino({ level: 'silent' })
/** Those of all tests here. */
const ACCOUNTS = ['a', 'b', 'c', 'busy', 'idle', 'flaky', 'refused', 'gone', 'here', 'large', 'small']
const run = (account: string, mode: 'full' | 'incremental' = 'incremental') =>
  ({ account, mode, trigger: 'schedule' }) as const

async function openQueue({ url }: Pick<TestDatabase, 'url'>): Promise<RunQueue> {
  const queue = await openRunQueue(url, silent)
  onTestFinished(() => queue.close())
  return queue
}

async function take(queue: RunQueue): Promise<TakenRun> {
  const [taken] = await queue.take(1, ACCOUNTS)
  if (taken === undefined) throw new Error('nothing waits')
  return taken
}

test('creates its tables once, however many processes open it at the same time', async () => {
  await using database = await createTestDatabase()
  const queues = await Promise.all(Array.from({ length: 6 }, () => openQueue(database)))

  const put = await Promise.all(queues.map((queue) => queue.put(run('a'))))

  expect(put.filter(Boolean)).toHaveLength(1)
})

test('gives out the run that has waited longest, and each run once', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  for (const account of ['a', 'b', 'c']) await queue.put(run(account))

  // Among those taken together there is no order.
  expect((await queue.take(2, ACCOUNTS)).map(({ account }) => account).sort()).toEqual(['a', 'b'])
  expect(await queue.take(2, ACCOUNTS)).toMatchObject([{ account: 'c', mode: 'incremental', trigger: 'schedule' }])
  expect(await queue.take(1, ACCOUNTS)).toEqual([])
})

test('holds one waiting run per account: a full run replaces an incremental one, and not the other way round', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  await queue.put(run('a'))
  expect(await queue.put(run('a'))).toBe(false)
  expect(await queue.put(run('a', 'full'))).toBe(false)
  expect(await queue.put(run('a'))).toBe(false)

  expect(await queue.take(5, ACCOUNTS)).toMatchObject([{ account: 'a', mode: 'full' }])
})

test('a run that waits for a retry is due with the next tick, and stays one run', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  await queue.put(run('a'))
  await queue.fail(await take(queue), { code: 'network', message: 'no', isRetryable: true })
  expect(await queue.take(1, ACCOUNTS)).toEqual([])

  expect(await queue.put(run('a'))).toBe(false)

  expect(await queue.take(5, ACCOUNTS)).toMatchObject([{ account: 'a' }])
})

test('lets a run wait while another of its account is under way, and gives it to whoever asks', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  await queue.put(run('busy'))
  await take(queue)

  expect(await queue.put(run('busy'))).toBe(true)
  await queue.put(run('idle'))

  expect((await queue.take(5, ACCOUNTS)).map(({ account }) => account).sort()).toEqual(['busy', 'idle'])
})

test('a failed run is due again after a pause, and one that no retry can fix is a dead letter at once', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  await queue.put(run('flaky'))
  await queue.put(run('refused'))
  for (const taken of await queue.take(2, ACCOUNTS)) {
    const isRetryable = taken.account === 'flaky'
    await queue.fail(taken, { code: 'x', message: `${taken.account} said no`, isRetryable })
  }

  const waiting = await database.sql("SELECT data->>'account' AS account FROM spidra_queue.job WHERE state = 'retry'")
  expect(waiting).toEqual([{ account: 'flaky' }])
  expect((await readFleet(database.db))?.deadLetters).toMatchObject([
    { account: 'refused', runs: 1, lastError: 'refused said no' },
  ])
})

test('three failures make a dead letter, which is gone once the account is complete', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  await queue.put(run('flaky'))
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    await queue.fail(await take(queue), { code: 'network', message: 'no way', isRetryable: true })
    // Skips the pause.
    await database.sql("UPDATE spidra_queue.job SET start_after = now() WHERE state = 'retry'")
  }

  const letters = async () => (await readFleet(database.db))?.deadLetters
  expect(await letters()).toMatchObject([{ account: 'flaky', runs: 1, lastError: 'no way' }])

  await database.sql("INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('flaky', now())")
  await expect.poll(letters, PATIENCE).toEqual([])
})

test('gives out the runs of the accounts asked for, and leaves the others where they are', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  for (const account of ['a', 'b']) await queue.put(run(account))

  expect(await queue.take(5, ['b', 'c'])).toMatchObject([{ account: 'b' }])
  expect(await queue.take(5, [])).toEqual([])
  expect(await queue.take(5, ['b', 'c'])).toEqual([])
  expect(await queue.take(5, ['a'])).toMatchObject([{ account: 'a' }])
})

test('withdraws runs that have waited for an hour for accounts that nobody serves', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  for (const account of ['gone', 'here']) await queue.put(run(account))
  await queue.withdrawOthers(['here'])
  expect(await readFleet(database.db)).toMatchObject({ waitingRuns: 2 })

  await database.sql(
    "UPDATE spidra_queue.job SET created_on = now() - interval '61 minutes', start_after = now() - interval '61 minutes'",
  )
  await queue.withdrawOthers(['here'])

  expect(await queue.take(5, ACCOUNTS)).toMatchObject([{ account: 'here' }])
})

test('withdraws the waiting run of a removed account, and nothing else', async () => {
  await using database = await createTestDatabase()
  const queue = await openQueue(database)
  for (const account of ['gone', 'here']) await queue.put(run(account))

  await queue.withdraw('gone')

  expect(await queue.take(5, ACCOUNTS)).toMatchObject([{ account: 'here' }])
})

describe('a role that may not create schemas', () => {
  test('reads which statement creates the schema of the queue for it', async () => {
    await using database = await createRoleDatabase()

    const opening = openRunQueue(database.roleUrl, silent)

    await expect(opening).rejects.toMatchObject({ code: 'permission' })
    await expect(opening).rejects.toThrow(`CREATE SCHEMA spidra_queue AUTHORIZATION ${database.role};`)
  })

  test('creates its tables in a schema that an administrator created for it', async () => {
    await using database = await createRoleDatabase()
    await database.sql(`CREATE SCHEMA spidra_queue AUTHORIZATION ${database.role}`)
    const queue = await openQueue({ url: database.roleUrl })

    expect(await queue.put(run('a'))).toBe(true)
    expect(await queue.take(1, ACCOUNTS)).toMatchObject([{ account: 'a' }])
  })
})

/** A database, and a role that may connect to it and no more. */
async function createRoleDatabase() {
  const database = await createTestDatabase()
  const role = `${database.name}_worker`
  await database.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${DATABASE_PASSWORD}'`)
  const url = new URL(database.url)
  url.username = role
  url.password = DATABASE_PASSWORD
  return {
    ...database,
    role,
    roleUrl: url.href,
    async [Symbol.asyncDispose]() {
      // The queue closes at the end of the test, after this.
      await database.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`)
      await database.sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
      await database[Symbol.asyncDispose]()
    },
  }
}
