import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { Client, types } from 'pg'
import { expect, test } from 'vitest'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { type Ask, insertExampleResults, insertExamples, toStableText } from '../support/example-data.js'
import { jobRows, openRun } from '../support/job-rows.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

/** The SQL blocks of a page with the line above them, each statement by itself. */
function statementsOf(page: string): { question: string; statement: string }[] {
  const blocks = [...readFileSync(page, 'utf8').matchAll(/([^\n]*)\n+```sql\n([\s\S]*?)```/g)]
  return blocks.flatMap(([, question = '', block = '']) =>
    block
      .split(/;\s*$/m)
      .filter((statement) => statement.trim() !== '')
      .map((statement) => ({ question, statement })),
  )
}

test('every query in README.md runs', async () => {
  await using database = await createTestDatabase()
  await mergeJobs(database.db, await openRun(database.db), jobRows(3))
  const statements = statementsOf('README.md')
  expect(statements.length).toBeGreaterThan(2)

  for (const { statement } of statements) await expect(database.sql(statement), statement).resolves.toBeDefined()
})

test('every query in docs/results.md answers its question', async () => {
  await using database = await createTestDatabase()
  await using transaction = await openStillTransaction(database)
  const { ask } = transaction
  await insertExamples(ask)
  await insertExampleResults(ask)

  await expect(await answersOf('docs/results.md', ask)).toMatchFileSnapshot('reporting/docs-results.txt')
})

test('every query in docs/sql.md answers its question', async () => {
  await using database = await createTestDatabase()
  await using transaction = await openStillTransaction(database)
  const { ask } = transaction
  await insertExamples(ask)
  const answers = await answersOf('docs/sql.md', ask)

  const { rows: analyst } = await ask(`
    SELECT count(*) FILTER (WHERE has_table_privilege('analyst', oid, 'SELECT'))::integer AS readable,
      count(*) FILTER (WHERE has_table_privilege('analyst', oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))::integer AS writable,
      has_schema_privilege('analyst', 'spidra', 'USAGE') AS "seesTables",
      (SELECT count(*) FROM pg_default_acl WHERE defaclacl::text LIKE '%analyst=r/%')::integer AS "futureRights"
    FROM pg_class WHERE relkind = 'v' AND relnamespace = 'spidra_reporting'::regnamespace`)
  expect(analyst).toEqual([{ readable: 15, writable: 0, seesTables: false, futureRights: 1 }])
  await expect(answers).toMatchFileSnapshot('reporting/docs-sql.txt')
})

const PAGES = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync('docs').flatMap((name) => (name.endsWith('.md') ? `docs/${name}` : [])),
]

/** The anchor that GitHub gives a heading. */
function toAnchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{Letter}\p{Number} _-]/gu, '')
    .replaceAll(' ', '-')
}

test.each(PAGES)('every link in %s leads to a file, and to a heading of it', (page) => {
  const links = [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)]
  const broken = links.filter(([, path = '', anchor]) => {
    const target = path === '' ? page : posix.join(posix.dirname(page), path)
    if (!existsSync(target)) return true
    if (anchor === undefined) return false
    const headings = [...readFileSync(target, 'utf8').matchAll(/^#+ (.+)$/gm)]
    return !headings.some(([, heading = '']) => toAnchor(heading) === anchor)
  })

  expect(broken.map(([link]) => link)).toEqual([])
})

test('docs/architecture.md names only files and folders that exist', () => {
  const page = readFileSync('docs/architecture.md', 'utf8')
  const named = [...page.matchAll(/(?<![\w/<])(?:src\/)?((?:[a-z-]+\/)+(?:[a-z-]+\.ts)?)(?![\w./])/g)].map(
    ([, path = '']) => path,
  )

  expect(named.length).toBeGreaterThan(20)
  expect([...new Set(named)].filter((path) => path !== 'src/' && !existsSync(posix.join('src', path)))).toEqual([])
})

test('docs/operations.md explains every message that the service logs as a warning or an error', () => {
  const page = readFileSync('docs/operations.md', 'utf8')
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const messages = files.flatMap((name) =>
    [...readFileSync(posix.join('src', name), 'utf8').matchAll(/\blog\.(?:warn|error|fatal)\(([\s\S]*?)\)\n/g)].flatMap(
      ([, parameters = '']) => [...parameters.matchAll(/'([^']{8,})'/g)].map(([, message]) => message),
    ),
  )

  expect(messages.length).toBeGreaterThan(30)
  expect(messages.filter((message) => !page.includes(`\`${message}`))).toEqual([])
})

test('docs/operations.md renames an account in every table that has one', async () => {
  await using database = await createTestDatabase()
  const tables = await database.sql<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.columns
     WHERE table_schema = 'spidra' AND column_name = 'account' ORDER BY 1`,
  )
  const section = readFileSync('docs/operations.md', 'utf8').split('### Renaming an account')[1] ?? ''
  // `keep_stale_days` computes these again.
  const computed = ['daily_totals', 'stale_days', 'stale_totals']

  expect(tables.length).toBeGreaterThan(8)
  expect(
    tables.filter(({ name }) => !computed.includes(name) && !section.includes(`UPDATE spidra.${name} SET account`)),
  ).toEqual([])
})

test('docs/sql.md names the migration that defines each view', () => {
  const last = new Map<string, string>()
  for (const name of readdirSync('prisma/migrations')
    .filter((entry) => entry !== 'migration_lock.toml')
    .sort()) {
    const text = readFileSync(posix.join('prisma/migrations', name, 'migration.sql'), 'utf8')
    for (const [, view = ''] of text.matchAll(/CREATE (?:OR REPLACE )?VIEW spidra_reporting\.(\w+)/g))
      last.set(view, name)
  }
  const page = readFileSync('docs/sql.md', 'utf8')

  expect(last.size).toBe(15)
  expect([...last].filter(([view, name]) => !page.includes(`| \`${view}\` | \`${name}\` |`))).toEqual([])
})

/** The questions of a page with the answers of its queries, in a text that does not depend on the time. */
async function answersOf(page: string, ask: Ask): Promise<string> {
  const { rows: clock } = await ask<{ now: Date }>('SELECT now()')
  const answers: string[] = []
  for (const { question, statement } of statementsOf(page)) {
    const { rows } = await ask(statement)
    answers.push(`${question}\n${toStableText(rows, clock[0]?.now ?? new Date(0))}\n`)
  }
  expect(answers.length).toBeGreaterThan(4)
  return answers.join('\n')
}

/** One transaction, rolled back at the end: `now()` stands still, and no role or row is left behind. */
async function openStillTransaction({ url }: TestDatabase) {
  const client = new Client({
    connectionString: url,
    // A date has no time zone, so it is no instant.
    types: {
      getTypeParser: (oid, format) => (oid === types.builtins.DATE ? String : types.getTypeParser(oid, format)),
    },
  })
  await client.connect()
  await client.query(`BEGIN; SET LOCAL TimeZone = 'UTC'`)
  return { ask: client.query.bind(client), [Symbol.asyncDispose]: () => client.end() }
}
