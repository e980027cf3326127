import { expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.js'
import { API_KEY, type CliResult, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { sync } from '../support/cli-sync.js'
import { fakeSpidra, reply } from '../support/fake-spidra.js'
import { item, servePlainList } from '../support/plain-list.js'
import type { TestDatabase } from '../support/test-database.js'

const CONTROLS = String.fromCodePoint(...Array.from({ length: 31 }, (_, index) => index + 1), 0x7f, 0x85, 0x9b)

/** Texts that Postgres can hold, and that do harm where they are not taken for mere text. */
const HOSTILE: Readonly<Record<string, string>> = {
  sql: `'); DROP TABLE spidra.batch_jobs; --`,
  'sql, dollar quotes and parameters': `$$; DROP SCHEMA spidra CASCADE; $1 \${1} %s E'\\'' "; --`,
  html: `<script>alert(1)</script><img src=x onerror=alert(1)>&amp;"'</title>`,
  'a metric': `x"} 1\nspidra_sync_runs_total{account="y`,
  'a log line': `x\n{"level":"fatal","msg":"forged"}\r\n[00:00:00Z] FATAL: forged`,
  'commands for a terminal': '\u001b[2J\u001b]0;owned\u0007\u009b2J\u001b]52;c;ZXZpbA==\u0007',
  'control characters': CONTROLS,
  'marks that turn the reading direction': '\u202edetelpmoc\u2066x\u2069\u200f\u2028\u2029\ufeff',
  'paths and formats': `../../etc/passwd\\..\\%00%n\${jndi:ldap://x}{{7*7}}`,
  'a megabyte': 'x'.repeat(2 ** 20),
  'half a million letters of two bytes each': '\u0416'.repeat(2 ** 19),
}
const texts = Object.values(HOSTILE)

/** What a terminal obeys, or shows in another order than it stands there. */
const UNPRINTABLE = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/u

function expectPrintable(...outputs: readonly string[]): void {
  for (const output of outputs) expect(UNPRINTABLE.exec(output)?.[0].codePointAt(0)?.toString(16)).toBeUndefined()
}

const storedJobs = ({ sql }: TestDatabase) =>
  sql<{ status: string; output_format: string; scraping_channel: string; extra: Record<string, unknown> }>(
    'SELECT status, output_format, scraping_channel, extra FROM spidra.batch_jobs ORDER BY uuid',
  )

const rejections = ({ sql }: TestDatabase) =>
  sql<{ payload: string; reason: string }>('SELECT payload, reason FROM spidra.rejected_jobs ORDER BY id')

test('hostile texts are stored letter by letter in every field, and nothing is written the second time', async () => {
  await using database = await createCliDatabase()
  const items = texts.map((text, index) =>
    item(index + 1, {
      status: text,
      outputFormat: text,
      scrapingChannel: text,
      [text.slice(0, 1_000)]: [text, { text }],
    }),
  )
  await using list = await servePlainList(items, { key: API_KEY, largestPage: 3 })

  const first = await sync(list, database)
  const second = await sync(list, database, { LOG_LEVEL: 'trace' })

  const totals = { status: 'complete', rejected: 0, listedTotal: texts.length, storedTotal: texts.length }
  expect(first.summary).toMatchObject({ ...totals, inserted: texts.length })
  expect(second.summary).toMatchObject({ ...totals, inserted: 0, updated: 0 })
  expect(await storedJobs(database)).toEqual(
    texts.map((text) => ({
      ...{ status: text, output_format: text, scraping_channel: text },
      extra: { [text.slice(0, 1_000)]: [text, { text }] },
    })),
  )
})

test('what no table can hold is rejected as it came, and the run is complete', async () => {
  await using database = await createCliDatabase()
  const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
  const withExtra = (number: number, json: string) => item(number).replace(/}$/, `,"extra":${json}}`)
  const spoilt = [
    item(101, { status: 'a\u0000b' }),
    item(102, { status: '\ud800' }),
    item(103, { scrapingChannel: '\udfff\ud800' }),
    item(104, { note: 'a\u0000b' }),
    item(105, { note: ['\ud800'] }),
    item(106, { 'name\u0000': 1 }),
    withExtra(107, deep(100_000)),
    withExtra(108, `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`),
    withExtra(109, '1e400000'),
    withExtra(110, '9'.repeat(200_000)),
    item(111).replace('"totalUrls":4', '"totalUrls":1e400'),
    item(112).replace('"totalUrls":4', '"totalUrls":12345678901234567890'),
    item(113).replace('"totalUrls":4', '"totalUrls":4.0000000000000000001'),
    item(114, { totalUrls: { __proto__: null, valueOf: 4 } }),
    item(115, { createdAt: `2026-02-01T00:00:00Z${' '.repeat(2 ** 20)}` }),
    item(116, { uuid: `aaaaaaaa-0000-4000-8000-000000000001'; DROP TABLE spidra.batch_jobs; --` }),
    `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
    '{"__proto__":{"uuid":"aaaaaaaa-0000-4000-8000-000000000117","status":"completed"}}',
  ]
  const items = [...spoilt, item(1), withExtra(2, '123456789012345678901234567890'), withExtra(3, deep(1_000))]
  await using list = await servePlainList(items, { key: API_KEY })

  const first = await sync(list, database, { LOG_LEVEL: 'trace' })
  const second = await sync(list, database)

  const totals = { status: 'complete', rejected: spoilt.length, listedTotal: items.length, storedTotal: items.length }
  expect(first.summary).toMatchObject({ ...totals, inserted: 3, reason: null })
  expect(second.summary).toMatchObject({ ...totals, inserted: 0, updated: 0 })
  const rows = await rejections(database)
  expect(rows.map(({ payload }) => payload).sort()).toEqual([...spoilt].sort())
  for (const { reason } of rows) expect(reason.length).toBeLessThan(1_000)
})

test('names with a meaning in JavaScript are only names', async () => {
  await using database = await createCliDatabase()
  const names = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then', 'toJSON', 'length', '']
  const extra = JSON.stringify(Object.fromEntries(names.map((name) => [name, { status: 'polluted' }])))
  const items = [
    item(1).replace(/^{/, `${extra.slice(0, -1)},`),
    item(2, { nested: 'HERE' }).replace('"HERE"', extra),
    // Of a name given twice the last counts.
    item(3).replace(/}$/, ',"status":"completed","__proto__":{"uuid":null}}'),
    item(4),
  ]
  await using list = await servePlainList(items, { key: API_KEY })

  expect((await sync(list, database)).summary).toMatchObject({ status: 'complete', inserted: 4, rejected: 0 })

  const [first, second, third, fourth] = await storedJobs(database)
  expect([first, second, third, fourth].map((job) => job?.status)).toEqual(Array(4).fill('completed'))
  expect(JSON.stringify(first?.extra)).toHaveLength(extra.length)
  expect(Object.keys(first?.extra ?? {}).sort()).toEqual([...names].sort())
  expect(Object.keys(second?.extra ?? {})).toEqual(['nested'])
  expect(Object.keys(third?.extra ?? {})).toEqual(['__proto__'])
  expect(fourth?.extra).toBeNull()
})

test('verify, status and the logs show them escaped, and a megabyte not at all', async () => {
  await using database = await createCliDatabase()
  const items = texts.map((text, index) => item(index + 1, { outputFormat: text, scrapingChannel: null, note: text }))
  await using list = await servePlainList(items, { key: API_KEY, largestPage: 50 })
  const env = { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: list.url, DATABASE_URL: database.url, LOG_LEVEL: 'trace' }
  const said: CliResult[] = [await runCli(['sync'], { env: { ...env, LOG_FORMAT: 'pretty' } })]
  await database.sql("UPDATE spidra.batch_jobs SET output_format = 'new: ' || output_format, extra = NULL")

  const verified = await runCli(['verify'], { env })
  said.push(verified, await runCli(['status'], { env }), await runCli(['status', '--json'], { env }))
  said.push(await runCli(['sync'], { env }))

  expect(verified.code).toBe(3)
  expect(verified.stdout.match(/^\S+ output_format: stored new: /gm)).toHaveLength(texts.length)
  expect(verified.stdout.match(/^\S+ extra: stored null, listed \{/gm)).toHaveLength(texts.length)
  expect(verified.stdout.split('\n')).toHaveLength(2 * texts.length + 2)
  expect(verified.stdout).toContain('\\u001b[2J')
  expect(verified.stdout).toContain('\\u202edetelpmoc')
  for (const { stdout, stderr } of said) {
    expectPrintable(stdout, stderr)
    expect(Math.max(...`${stdout}\n${stderr}`.split('\n').map((line) => line.length))).toBeLessThan(2_000)
  }
})

test.each(['json', 'pretty'])(
  'the words of an error are shown escaped by log, status, /api/status and /metrics (%s)',
  async (format) => {
    await using database = await createCliDatabase()
    const words = `${texts.slice(0, 9).join(' ')} \ud800 \u0000 end`
    await using api = await fakeSpidra([reply(403, { message: words.slice(-190) }), reply(403, { message: words })])
    const env = {
      ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url, HTTP_PORT: '0' },
      ...{ SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: 'off', LOG_LEVEL: 'trace', LOG_FORMAT: format },
    }
    await migrate(database.url)
    // No accounts file may hold such a name, but a database may.
    await database.sql('INSERT INTO spidra.sync_state (account) VALUES ($1)', [`<b>"x"}\n1</b>`])
    await using service = await startCli(['start', '--account', `<b>"x"}\n1</b>`], { env })
    const [, url] = await service.says(/url"?[=:] ?"?(http:[^"\s]+)/)
    await service.says(/run failed[\s\S]*run failed/)

    const bodies = await Promise.all(
      ['/api/status', '/metrics', '/readyz'].map(async (path) => (await fetch(`${url}${path}`)).text()),
    )
    const status = await runCli(['status', '--account', `<b>"x"}\n1</b>`], { env })
    service.kill('SIGTERM')
    const { code, stdout, stderr } = await service.ended

    expect(code).toBe(0)
    expect(status.stdout).toContain('forbidden')
    expectPrintable(...bodies, status.stdout, status.stderr, stdout, stderr)
    expect(bodies[1]).toContain('{account="<b>\\"x\\"}\\n1</b>"')
    expect(bodies[1]?.split('\n').filter((line) => !/^(#.*|[a-z_]\w*(\{.*\})? \S+|)$/.test(line))).toEqual([])
  },
)
