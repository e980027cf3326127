import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY, DATABASE_PASSWORD, runCli, startCli } from '../support/cli.js'
import { syncInProcess } from '../support/cli-sync.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

/** The SQL of the documentation: the worker's role first, then a reader's. */
const [WORKER_SQL, READER_SQL] = sqlOf('docs/operations.md', '## Rights in the database')

function sqlOf(page: string, heading: string): string[] {
  const section = readFileSync(page, 'utf8').split(`\n${heading}\n`)[1]?.split(/\n## /)[0] ?? ''
  return [...section.matchAll(/```sql\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
}

/** A database with two roles that the documentation speaks of, under names of the test's own: roles are the server's. */
async function createBareDatabase() {
  const database = await createTestDatabase({ isMigrated: false })
  const { name, sql } = database
  const names = { spidra_sync: `${name}_worker`, bi_reader: `${name}_bi` }
  // As strict as can be: what is not granted to a role by the documentation, it has not.
  await sql(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC`)

  const urlOf = (role: keyof typeof names): string => {
    const url = new URL(database.url)
    url.username = names[role]
    url.password = DATABASE_PASSWORD
    return url.href
  }

  return {
    ...database,
    names,
    urlOf,
    /** As the owner of the database, word for word but for names and passwords. */
    async follow(documentation: string | undefined) {
      expect(documentation, 'SQL in docs/operations.md').toMatch(/^CREATE ROLE/m)
      const text = `${documentation}`.replace(/\b(spidra_sync|bi_reader)\b/g, (role) =>
        role === 'bi_reader' ? names.bi_reader : names.spidra_sync,
      )
      await sql(text.replaceAll('DATABASE spidra', `DATABASE ${name}`).replaceAll("'...'", `'${DATABASE_PASSWORD}'`))
    },
    /** One statement as a role. */
    async as(role: keyof typeof names, text: string): Promise<unknown[]> {
      const client = new Client({ connectionString: urlOf(role) })
      await client.connect()
      try {
        return (await client.query(text)).rows
      } finally {
        await client.end()
      }
    },
    async [Symbol.asyncDispose]() {
      const roles = await sql<{ role: string }>(
        `SELECT quote_ident(rolname) AS role FROM pg_roles WHERE starts_with(rolname, $1)`,
        [`${name}_`],
      )
      for (const { role } of roles) await sql(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`)
      await database[Symbol.asyncDispose]()
    },
  }
}

type BareDatabase = Awaited<ReturnType<typeof createBareDatabase>>

const simulate = () => startSimulator({ jobs: 120, key: API_KEY, rateLimit: 'off' })

const envOf = (api: { readonly url: string }, database: BareDatabase) => ({
  ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.urlOf('spidra_sync') },
  ...{ HTTP_PORT: '0', SYNC_SCHEDULE: 'off', FULL_SYNC_SCHEDULE: 'off', RATE_LIMIT_REQUESTS: 'off' },
})

const views = async ({ sql }: Pick<TestDatabase, 'sql'>, schema: string, kinds: string) => {
  const rows = await sql<{ name: string }>(
    `SELECT quote_ident(c.relname) AS name FROM pg_class c
     WHERE c.relnamespace = to_regnamespace($1) AND c.relkind::text = ANY (string_to_array($2, NULL)) ORDER BY 1`,
    [schema, kinds],
  )
  return rows.map(({ name }) => `${schema}.${name}`)
}

test('the role of the documentation is all that the worker needs', { timeout: 120_000 }, async () => {
  await using database = await createBareDatabase()
  await database.follow(WORKER_SQL)
  await using api = await simulate()
  const env = envOf(api, database)

  for (const args of [
    ['migrate'],
    ['sync', '--full', '--json'],
    ['sync', '--json'],
    ['status'],
    ['verify'],
    ['plan'],
  ]) {
    expect(await runCli(args, { env }), args.join(' ')).toMatchObject({ code: 0 })
  }
  await using service = await startCli(['start'], { env })
  await service.says(/"status":"complete".*"msg":"run finished"/)
  const [, url] = await service.says(/"url":"(http:[^"]+)"/)
  expect((await fetch(`${url}/readyz`)).status).toBe(200)
  service.kill('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0, stderr: '' })

  expect(service.stdout).not.toMatch(/"level":"(warn|error)"/)
  expect(await database.sql('SELECT count(*)::integer AS jobs FROM spidra.batch_jobs')).toEqual([{ jobs: 120 }])
  // Whatever it made lies in its schemas.
  expect(
    await database.sql(
      `SELECT DISTINCT n.nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE pg_get_userbyid(c.relowner) = $1 AND n.nspname <> 'pg_toast' ORDER BY 1`,
      [database.names.spidra_sync],
    ),
  ).toEqual([{ schema: 'spidra' }, { schema: 'spidra_reporting' }])
})

test('the reader of the documentation reads every view, later ones too, and nothing else', async () => {
  await using database = await createBareDatabase()
  await database.follow(WORKER_SQL)
  await using api = await simulate()
  await syncInProcess(envOf(api, database), { full: true })
  await database.follow(READER_SQL)
  await database.as(
    'spidra_sync',
    'CREATE VIEW spidra_reporting.of_a_later_version AS SELECT uuid FROM spidra.batch_jobs',
  )
  const readable = await views(database, 'spidra_reporting', 'vm')
  const hidden = await views(database, 'spidra', 'rvmS')

  expect(readable.length).toBeGreaterThan(5)
  for (const view of readable) await database.as('bi_reader', `SELECT * FROM ${view}`)
  expect(await database.as('bi_reader', 'SELECT count(*)::integer AS jobs FROM spidra_reporting.batch_jobs')).toEqual([
    { jobs: 120 },
  ])
  const forbidden = [
    ...hidden.flatMap((table) => [`SELECT 1 FROM ${table}`, `DELETE FROM ${table}`]),
    ...readable.flatMap((view) => [`DELETE FROM ${view}`, `DROP VIEW ${view}`]),
    'INSERT INTO spidra_reporting.of_a_later_version VALUES (gen_random_uuid())',
    'UPDATE spidra_reporting.of_a_later_version SET uuid = uuid',
    'CREATE TABLE spidra_reporting.mine ()',
    'CREATE TABLE spidra.mine ()',
    'CREATE TABLE public.mine ()',
    'CREATE TEMPORARY TABLE mine ()',
    'CREATE SCHEMA mine',
    `SELECT spidra.keep_stale_days('default')`,
  ]
  for (const statement of forbidden) await expectRefused(database, statement)
})

/** As reader, for want of a right; Postgres refuses some writes to a view for what it is before it looks at rights. */
async function expectRefused(database: BareDatabase, statement: string): Promise<void> {
  const code = await database.as('bi_reader', statement).then(
    () => 'done',
    (error: { code?: string }) => error.code,
  )
  expect([statement, code === '55000' ? '42501' : code]).toEqual([statement, '42501'])
}

describe('a role without the rights', () => {
  /** What the message says to run. */
  const statementsIn = (text: string) => /`([^`]+;)`\.\n$/.exec(text)?.[1] ?? ''

  test.each([
    ['no schema', '', /^CREATE SCHEMA spidra AUTHORIZATION .+; CREATE SCHEMA spidra_reporting AUTHORIZATION .+;$/],
    [
      'one of the schemas',
      'CREATE SCHEMA spidra AUTHORIZATION "$1"',
      /^CREATE SCHEMA spidra_reporting AUTHORIZATION .+;$/,
    ],
    [
      'schemas of somebody else',
      'CREATE SCHEMA spidra; CREATE SCHEMA spidra_reporting',
      /^ALTER SCHEMA spidra OWNER TO .+; ALTER SCHEMA spidra_reporting OWNER TO .+;$/,
    ],
  ])('and with %s is told the statements that help, and they do', async (_, before, statements) => {
    await using database = await createBareDatabase()
    // A name that has to be quoted.
    const role = `${database.name}_Ada "L."`
    const identifier = `"${role.replaceAll('"', '""')}"`
    const password = randomBytes(8).toString('hex')
    await database.sql(`CREATE ROLE ${identifier} LOGIN PASSWORD '${password}'`)
    await database.sql(`GRANT CONNECT ON DATABASE ${database.name} TO ${identifier}`)
    await database.sql(before.replace('"$1"', identifier))
    const url = new URL(database.url)
    url.username = encodeURIComponent(role)
    url.password = password
    const env = { DATABASE_URL: url.href }

    const refused = await runCli(['migrate'], { env })

    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(
        /^spidra-sync: User [^\n]+ lacks a right in database [^\n]+SQLSTATE 42501\): let an administrator of the database run [^\n]+\n$/,
      ),
    ])
    expect(statementsIn(refused.stderr)).toMatch(statements)
    await database.sql(statementsIn(refused.stderr))
    expect(await runCli(['migrate'], { env })).toMatchObject({ code: 0 })
  })
})
