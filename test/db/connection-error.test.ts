import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { Client } from 'pg'
import { expect, inject, test } from 'vitest'
import { openDatabase } from '../../src/db/client.js'
import {
  assertUsableDatabase,
  DatabaseError,
  readPostgresError,
  toDatabaseError,
} from '../../src/db/connection-error.js'
import { createLogger } from '../../src/logging/logger.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { raiseOn } from '../support/raising-trigger.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { createTestDatabase } from '../support/test-database.js'

const { adminUrl } = inject('testServer')
const database = await shareTestDatabase()

/** The test server's URL with something wrong in it. */
function spoil(change: (url: URL) => void): string {
  const url = new URL(adminUrl)
  change(url)
  return url.href
}

const CASES: readonly { what: string; url: string; sql?: string; code: string; says: RegExp }[] = [
  {
    what: 'a port where nobody listens',
    url: 'postgresql://ada:s3cr3t@127.0.0.1:1/jobs',
    code: 'unreachable',
    says: /^Cannot reach Postgres at 127\.0\.0\.1:1.*: check host and port in DATABASE_URL/,
  },
  {
    what: 'a role that does not exist',
    url: spoil((url) => Object.assign(url, { username: 'ada_nobody', password: 's3cr3t' })),
    code: 'authentication',
    says: /refuses user "ada_nobody" for database .*: check user and password in DATABASE_URL/,
  },
  {
    what: 'a database that does not exist',
    url: spoil((url) => Object.assign(url, { pathname: '/no_such_jobs' })),
    code: 'no_such_database',
    says: /has no database "no_such_jobs" .*: create it, or check the name in DATABASE_URL/,
  },
  {
    what: 'a connection that may only read',
    url: spoil((url) => url.searchParams.set('options', '-c default_transaction_read_only=on')),
    sql: 'CREATE TABLE public.never ()',
    code: 'read_only',
    says: /is read-only .*: point DATABASE_URL at the primary server/,
  },
  {
    what: 'tables that are not there',
    url: adminUrl,
    sql: 'SELECT 1 FROM spidra.batch_jobs',
    code: 'not_migrated',
    says: /lacks a table of spidra-sync .*: run `spidra-sync migrate`/,
  },
  {
    what: 'a connection ended by the server',
    url: adminUrl,
    sql: 'SELECT pg_terminate_backend(pg_backend_pid())',
    code: 'unreachable',
    says: /SQLSTATE 57P01/,
  },
  {
    what: 'anything else that Postgres refuses',
    url: adminUrl,
    sql: `SELECT 'x'::integer`,
    code: 'other',
    says: /SQLSTATE 22P02/,
  },
]

test.each(CASES)('explains $what in one line, without the password', async ({ url, sql = 'SELECT 1', code, says }) => {
  for (const raise of [raiseThroughPg, raiseThroughPrisma]) {
    const error = toDatabaseError(await raise(url, sql), url)

    expect(error, raise.name).toMatchObject({ name: 'DatabaseError', code, message: expect.stringMatching(says) })
    expect(error?.message).not.toContain('\n')
    expect(error?.message).not.toContain('s3cr3t')
    expect(error?.message).not.toContain('@') // no URL, in which a password could be
  }
})

test('advises to encrypt where pg_hba.conf admits no unencrypted connection, and not to check the password', async () => {
  const words = 'no pg_hba.conf entry for host "192.0.2.1", user "ada", database "jobs", no encryption'
  const fields = Buffer.from(`SFATAL\0VFATAL\0C28000\0M${words}\0\0`)
  const header = Buffer.from([0x45, 0, 0, 0, fields.length + 4])
  await using server = await listen((socket) => socket.once('data', () => socket.end(Buffer.concat([header, fields]))))

  const error = toDatabaseError(await raiseThroughPg(server.url, 'SELECT 1'), server.url)

  expect(error?.code).toBe('authentication')
  expect(error?.message).toMatch(/no encryption, SQLSTATE 28000\): add sslmode=require to DATABASE_URL/)
  expect(error?.message).not.toContain('password')
})

test('explains a server that accepts and then stays silent', async () => {
  await using server = await listen(() => undefined)
  const client = new Client({ connectionString: server.url, connectionTimeoutMillis: 50 })

  expect(toDatabaseError(await rejection(client.connect()), server.url)).toMatchObject({ code: 'unreachable' })
})

test('distinguishes connections that are all in use, and a transaction over its time limit, from a server that is away', async () => {
  await using database = await createTestDatabase()
  const db = openDatabase(database.url, { connectTimeoutMs: 2_000 })
  const lock = await hold(database, 'LOCK TABLE spidra.alerts IN ACCESS EXCLUSIVE MODE')
  const inUse = Promise.all([1, 2, 3, 4].map(() => db.alert.count().then((count) => count)))
  await untilBlocked(database, 4)
  const transaction = db.$transaction((tx) => tx.$queryRaw`SELECT 1`, { maxWait: 50 })
  const [waited, gaveUp] = await Promise.all([rejection(db.$queryRaw`SELECT 1`), rejection(transaction)])
  await lock.release()
  await inUse
  const outlived = await rejection(
    db.$transaction(async (tx) => [await tx.$queryRaw`SELECT pg_sleep(0.2)::text`, await tx.$queryRaw`SELECT 1`], {
      timeout: 100,
    }),
  )
  await db.$disconnect()

  const said = [waited, gaveUp, outlived].map((error) => toDatabaseError(error, database.url))
  expect(said.map((error) => error?.code)).toEqual(['busy', 'busy', 'time_limit'])
  expect(said[0]?.message).toMatch(/^No connection of this process to Postgres at \S+ became free in time: /)
})

test('explains a server that cannot encrypt', async () => {
  await using server = await listen((socket) => socket.once('data', () => socket.end('N')))
  const url = `${server.url}?sslmode=verify-full`

  for (const raise of [raiseThroughPg, raiseThroughPrisma]) {
    expect(toDatabaseError(await raise(url, 'SELECT 1'), url)).toMatchObject({ code: 'tls' })
  }
})

test('names the right that a role lacks', async () => {
  await using database = await createTestDatabase()
  const role = `${database.name}_role`
  await database.sql(`CREATE ROLE ${role}`)
  const raised = await rejection(database.sql(`BEGIN; SET LOCAL ROLE ${role}; SELECT 1 FROM spidra.batch_jobs`))
  await database.sql(`DROP ROLE ${role}`)

  expect(toDatabaseError(raised, database.url)).toMatchObject({
    code: 'permission',
    message: expect.stringContaining('let it own the schemas spidra and spidra_reporting'),
  })
})

test('advises to end row-level security where it refuses a row', async () => {
  await using database = await createTestDatabase()
  const role = `${database.name}_role`
  await database.sql(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA spidra TO ${role}; GRANT ALL ON spidra.workers TO ${role};
    ALTER TABLE spidra.workers ENABLE ROW LEVEL SECURITY`)
  const raised = await rejection(
    database.sql(`BEGIN; SET LOCAL ROLE ${role}; INSERT INTO spidra.workers SELECT * FROM
      jsonb_populate_record(NULL::spidra.workers, '{}')`),
  )
  await database.sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`)

  expect(toDatabaseError(raised, database.url)?.message).toMatch(/SQLSTATE 42501\): disable row-level security/)
})

test('refuses Postgres 13 and takes Postgres 14', async () => {
  const url = 'postgresql://ada:s3cr3t@db.internal:5432/jobs'
  const server = (version: string, number: number) =>
    ({ query: async () => ({ rows: [{ version, number, encoding: 'UTF8' }] }) }) as unknown as Client

  await expect(assertUsableDatabase(server('13.22', 130_022), url)).rejects.toMatchObject({
    code: 'too_old',
    message: 'Postgres at db.internal:5432 is too old (version 13.22): spidra-sync needs Postgres 14 or later.',
  })
  await expect(assertUsableDatabase(server('14.0', 140_000), url)).resolves.toBeUndefined()
})

test('returns null for an error that is not about the database', () => {
  expect(toDatabaseError(new TypeError('x is not a function'), adminUrl)).toBeNull()
  expect(toDatabaseError(Object.assign(new Error('no file'), { code: 'ENOENT', syscall: 'open' }), adminUrl)).toBeNull()
})

test('explains an error only once', () => {
  const error = new DatabaseError(adminUrl, { code: 'busy' })

  expect(toDatabaseError(error, adminUrl)).toBe(error)
})

test('the log has the words of Postgres, and none of Prisma', async () => {
  const { db } = database
  const away = openDatabase('postgres://ada:s3cr3t@127.0.0.1:9/jobs')
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  const log = await createLogger({ level: 'debug', format: 'json', secrets: [], destination })
  const failures: (() => Promise<unknown>)[] = [
    () => db.$executeRaw`INSERT INTO nowhere VALUES (1)`,
    () => db.$queryRaw`SELECT 1 / 0`,
    () => db.syncRun.findMany({ where: { id: 'a text' } as never }),
    () => away.$queryRaw`SELECT 1`,
    () => away.syncRun.findMany(),
  ]

  for (const fail of failures) await fail().catch((err: unknown) => log.warn({ err }, 'failed'))
  await away.$disconnect()

  expect(lines.map((line) => JSON.parse(line).err)).toMatchObject([
    { type: 'DatabaseError', message: 'relation "nowhere" does not exist (SQLSTATE 42P01)' },
    { type: 'DatabaseError', message: 'division by zero (SQLSTATE 22012)' },
    { message: expect.stringMatching(/^Invalid value for argument `id`: /) },
    { message: "Can't reach database server at 127.0.0.1:9" },
    { message: "Can't reach database server at 127.0.0.1:9" },
  ])
  expect(lines.join()).not.toMatch(/invocation|Raw query failed|P\d{4}\b/)
})

/** Prisma's adapter gives most of these a kind of its own, each in another shape. */
const SQL_STATES = [
  '22001',
  '22003',
  '22007',
  '22008',
  '22021',
  '22P02',
  '22P05',
  '23502',
  '23503',
  '23505',
  '25006',
  '40001',
  '40P01',
  '42501',
  '42703',
  '42P01',
  '53100',
  '53300',
  '54000',
  '54001',
  '55P03',
  '57014',
  'P0001',
]

test.each(SQL_STATES)('reads SQLSTATE %s and the message, of node-postgres and of Prisma', async (code) => {
  const raise = `DO $$ BEGIN RAISE EXCEPTION 'it is "so"' USING ERRCODE = '${code}'; END $$`

  for (const run of [() => database.sql(raise), () => database.db.$executeRawUnsafe(raise)]) {
    expect(readPostgresError(await rejection(run()))).toEqual({ code, message: 'it is "so"' })
  }
  await using _ = await raiseOn(database, 'spidra.workers', code)
  expect(readPostgresError(await rejection(database.db.worker.deleteMany()))).toMatchObject({ code })
})

test('an error that Postgres did not raise has no SQLSTATE', async () => {
  expect(readPostgresError(new Error('ECONNREFUSED'))).toBeNull()
  expect(readPostgresError(Object.assign(new Error('no'), { code: 'ECONN' }))).toBeNull()
  expect(readPostgresError(Object.assign(new Error('no'), { code: 'P2002' }))).toBeNull()
  expect(readPostgresError(Object.assign(new Error('no'), { meta: { driverAdapterError: {} } }))).toBeNull()
  expect(readPostgresError('22P02')).toBeNull()
  expect(readPostgresError(undefined)).toBeNull()
})

async function raiseThroughPg(url: string, sql: string): Promise<unknown> {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  try {
    return await rejection(client.connect().then(() => client.query(sql)))
  } finally {
    await client.end()
  }
}

async function raiseThroughPrisma(url: string, sql: string): Promise<unknown> {
  const db = openDatabase(url)
  try {
    return await rejection(db.$queryRawUnsafe(sql))
  } finally {
    await db.$disconnect()
  }
}

function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error,
  )
}

async function listen(serve: Parameters<typeof createServer>[1]) {
  const server = createServer({}, serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `postgresql://ada:s3cr3t@127.0.0.1:${port}/jobs`,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}
