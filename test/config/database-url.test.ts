import { Client } from 'pg'
import { afterEach, expect, test, vi } from 'vitest'
import { toPlainDatabaseUrl } from '../../src/config/database-url.js'
import { secretsAmong } from '../../src/config/secrets.js'
import { runCli } from '../support/cli.js'

/** What node-postgres reads in a connection string. */
function readByDriver(url: string) {
  const { host, port, user, password, database, ssl } = new Client({ connectionString: url })
  return { host, port, user, password, database, ssl }
}

/** Without node-postgres' own warning, which every process gets once. */
const emitWarning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
afterEach(() => emitWarning.mockClear())

test.each([
  'postgres://ada:s3cr%2Ft@/jobs?host=/run/postgresql',
  'postgresql://ada@/jobs?port=5433&host=%2Frun%2Fpostgresql',
  'postgres:///jobs?host=/run/postgresql',
  'postgres://ada@%2Frun%2Fpostgresql/jobs',
  'postgres://ada:s3cr3t@db.internal:5433/jobs?sslmode=require',
  'postgres://ada@db.internal/jobs?sslmode=prefer&options=-c%20search_path%3Dx',
  'postgres://ada@db.internal/jobs?sslmode=verify-ca',
  'postgres://ada@db.internal/jobs?uselibpqcompat=true&sslmode=require',
  'postgres://ada@db.internal/jobs?sslmode=no-verify',
  'postgres://ada@db.internal/jobs?sslmode=disable',
])('spells %s so that the driver reads the same, without a warning', (text) => {
  const meant = readByDriver(text)
  emitWarning.mockClear()

  const plain = toPlainDatabaseUrl(text)

  expect(plain).not.toBeNull()
  expect(URL.canParse(plain ?? '')).toBe(true)
  expect(readByDriver(plain ?? '')).toEqual(meant)
  expect(emitWarning).not.toHaveBeenCalled()
})

test.each([
  'postgres://ada@/jobs',
  'postgres://ada@/host=x',
  'postgres://ada@/jobs?hostess=x',
  'postgres://ada@:::/jobs',
])('finds no URL in %s', (text) => {
  expect(toPlainDatabaseUrl(text)).toBeNull()
})

test('the password of a URL with an empty host is a secret too', () => {
  const secrets = secretsAmong({ DATABASE_URL: 'postgres://ada:s3cr%2Ft@/jobs?host=/run/postgresql' })

  expect(secrets).toEqual(expect.arrayContaining(['s3cr%2Ft', 's3cr/t']))
})

test('sslmode=require: prints nothing before our one line', async () => {
  const url = 'postgres://ada:pw@127.0.0.1:1/jobs?sslmode=require'

  for (const command of ['status', 'migrate']) {
    const { code, stderr } = await runCli([command], { env: { DATABASE_URL: url } })
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^spidra-sync: Cannot reach Postgres at 127\.0\.0\.1:1[^\n]+\n$/),
    ])
  }
})

test.each([
  'postgres://ada:s3cr3t-of-ada@/jobs?host=/no/such/folder',
  'postgres://ada:s3cr3t-of-ada@%2Fno%2Fsuch%2Ffolder/jobs',
])('a socket that is not there: one line that names it, by whatever way it is asked for: %s', async (url) => {
  for (const command of ['status', 'migrate']) {
    const { code, stderr } = await runCli([command], { env: { DATABASE_URL: url } })
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(
        /^spidra-sync: Cannot reach Postgres at \/no\/such\/folder\/\.s\.PGSQL\.5432 \(ENOENT\): check that the server runs, and that DATABASE_URL has the directory and the port of its socket\.\n$/,
      ),
    ])
    expect(stderr).not.toContain('s3cr3t')
  }
})

test('a name that does not resolve: one line, also through Prisma', async () => {
  const { DatabaseError, toDatabaseError } = await import('../../src/db/connection-error.js')
  const url = 'postgres://ada@db.internal/jobs'
  // As Prisma throws it: without the system call, and several lines long.
  const thrown = Object.assign(
    new Error('\nInvalid `prisma.$queryRaw()` invocation:\n\n\ngetaddrinfo EAI_AGAIN db.internal'),
    {
      code: 'EAI_AGAIN',
    },
  )

  const error = toDatabaseError(thrown, url)

  expect(error).toBeInstanceOf(DatabaseError)
  expect(error).toMatchObject({
    code: 'unreachable',
    message: expect.stringMatching(/^Cannot reach .*EAI_AGAIN[^\n]+$/),
  })
})
