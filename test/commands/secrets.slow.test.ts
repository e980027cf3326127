import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { type CliProcess, createFolder, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { fakeProxy } from '../support/fake-proxy.js'
import { type Answer, fakeSpidra } from '../support/fake-spidra.js'
import { leaksIn } from '../support/leaks.js'
import type { TestDatabase } from '../support/test-database.js'
import { openWebhookReceiver } from '../support/webhook-receiver.js'

/** Each holds what URLs, JSON, shells or regular expressions spell in another way. */
const SECRETS = {
  key: `spd_canary+/=&%"'\\{}$.*`,
  database: `canary pä:ss/w@rd#?%&+="'\\$`,
  dashboard: 'canary: dashbo@rd "päss"',
  proxy: 'canary-pr@xy:p%ss/',
  webhook: 'https://hooks.invalid/services/T0/canary-webhook?token=canary%20token',
}
const all = [...Object.values(SECRETS), new URL(SECRETS.webhook).pathname]

interface Scene {
  readonly database: TestDatabase
  readonly apiUrl: string
  readonly env: Readonly<Record<string, string>>
}

/** The environment in which every secret is set. */
function sceneOf(database: TestDatabase, apiUrl: string, proxy = 'http://127.0.0.1:9'): Scene {
  const proxyUrl = new URL(proxy)
  proxyUrl.username = 'worker'
  proxyUrl.password = encodeURIComponent(SECRETS.proxy)
  const env = {
    ...{ SPIDRA_API_KEY: SECRETS.key, SPIDRA_API_URL: apiUrl, DATABASE_URL: database.url, HTTP_PORT: '0' },
    ...{ DASHBOARD_PASSWORD: SECRETS.dashboard, ALERT_WEBHOOK_URL: SECRETS.webhook, HTTPS_PROXY: proxyUrl.href },
    ...{ SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: 'off', LOG_LEVEL: 'trace', REQUEST_RETRIES: '1' },
    ...{ RETRY_BASE_MS: '1', RATE_LIMIT_REQUESTS: 'off' },
  }
  return { database, apiUrl, env }
}

/** Every row of every table and view of ours, as text. */
async function everyRow({ sql }: TestDatabase): Promise<string> {
  const tables = await sql<{ name: string }>(
    `SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables
     WHERE table_schema LIKE 'spidra%' ORDER BY 1`,
  )
  const names = tables.map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining(['spidra.batch_jobs', 'spidra.sync_runs', 'spidra._prisma_migrations']))
  const rows = await Promise.all(names.map((name) => sql<{ row: string }>(`SELECT t::text AS row FROM ${name} t`)))
  const sessions = await sql<{ row: string }>(
    "SELECT concat_ws(' ', application_name, query) AS row FROM pg_stat_activity WHERE datname = current_database()",
  )
  return [...rows.flat(), ...sessions].map(({ row }) => row).join('\n')
}

/** All that other programs of this machine see of a process. */
async function visibleOf({ pid }: CliProcess): Promise<string> {
  const files = ['cmdline', 'comm', 'status'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8'))
  return (await Promise.all(files)).join('\n')
}

async function bodiesOf(service: CliProcess): Promise<string> {
  const [, url] = await service.says(/url"?[=:] ?"?(http:[^"\s]+)/)
  const right = `Basic ${Buffer.from(`any:${SECRETS.dashboard}`).toString('base64')}`
  const paths = ['/healthz', '/readyz', '/metrics', '/api/status', '/no-such-page', '/%zz']
  const requests = paths.flatMap((path) => ['Basic eDp4', right].map((authorization) => ({ path, authorization })))
  const answers = await Promise.all(
    requests.map(async ({ path, authorization }) => {
      const response = await fetch(`${url}${path}`, { headers: { authorization } })
      return `${path} ${response.status} ${JSON.stringify([...response.headers])} ${await response.text()}`
    }),
  )
  expect(answers.filter((answer) => answer.startsWith('/api/status 200 '))).toHaveLength(1)
  return answers.join('\n')
}

test.each(['json', 'pretty'])(
  'a service at trace level shows no secret in its log (%s), pages, tables or command line',
  async (format) => {
    await using database = await createCliDatabase({ password: SECRETS.database })
    await using api = await startSimulator({ jobs: 60, key: SECRETS.key, rateLimit: 'off' })
    const { env } = sceneOf(database, api.url)
    await using service = await startCli(['start'], { env: { ...env, LOG_FORMAT: format } })
    await service.says(/run finished/)

    const seen = [await bodiesOf(service), await visibleOf(service), await everyRow(database)]
    service.kill('SIGTERM')
    const { code, stdout, stderr } = await service.ended

    expect([code, stderr]).toEqual([0, ''])
    expect(leaksIn([...seen, stdout].join('\n'), all)).toEqual([])
    expect(seen.join('\n')).not.toContain('canary')
    expect(stdout).not.toContain('canary')
  },
)

/** Quotes what it was sent, in every spelling. */
const quote: Answer = (response) => {
  const sent = [response.req.headers['x-api-key'], response.req.headers.authorization].join(' ').trim()
  const key = sent.replace(/^Bearer /, '')
  const message = `no: ${sent} ${encodeURIComponent(key)} ${JSON.stringify({ key })} ${encodeURI(key)}`
  response.writeHead(403, { 'x-quoted': encodeURIComponent(key) }).end(JSON.stringify({ message }))
}

test.each(['x-api-key', 'bearer'])('nor where the API quotes the key back (%s)', async (scheme) => {
  await using database = await createCliDatabase({ password: SECRETS.database })
  await using api = await fakeSpidra([quote])
  const env = { ...sceneOf(database, api.url).env, SPIDRA_AUTH_SCHEME: scheme }

  const results = [await runCli(['sync'], { env }), await runCli(['sync', '--json'], { env })]
  results.push(await runCli(['status'], { env }), await runCli(['plan'], { env }), await runCli(['verify'], { env }))

  const seen = [...results.flatMap(({ stdout, stderr }) => [stdout, stderr]), await everyRow(database)].join('\n')
  expect(results[0]?.code).toBe(1)
  expect(seen).toContain('[redacted]')
  expect(seen).not.toContain('canary')
})

/** The spellings in which an API might quote the key. */
const QUOTED_AS: readonly ((key: string) => string)[] = [
  (key) => key,
  (key) => key.toUpperCase(),
  (key) => Buffer.from(key).toString('base64'),
  (key) => Buffer.from(`key: ${key}!`).toString('base64url'),
  (key) => Buffer.from(key).toString('hex'),
  (key) => Buffer.from(key).toString('hex').toUpperCase(),
  (key) => encodeURIComponent(key).toLowerCase(),
  (key) => Buffer.from(key).toString('hex').replace(/../g, '%$&'),
]

/** Whether a text holds the key in any of these spellings. */
function holdsKey(text: string): boolean {
  const lower = text.toLowerCase()
  const cores = QUOTED_AS.map((spell) => spell(SECRETS.key).toLowerCase().slice(2, -4))
  return cores.some((core) => lower.includes(core))
}

const quotes = QUOTED_AS.map((spell) => spell(SECRETS.key))

test('nor in the stored items of an API that puts the key into them, or of a database that quotes it', async () => {
  await using database = await createCliDatabase({ password: SECRETS.database })
  const job = (index: number) => ({
    ...{ uuid: `00000000-0000-4000-8000-00000000000${index}`, status: quotes[index], totalUrls: 1, completedCount: 1 },
    ...{ failedCount: 0, outputFormat: quotes[index], scrapingChannel: quotes[0], createdAt: '2026-01-01T00:00:00Z' },
    ...{ finishedAt: null, note: { [quotes[index] ?? '']: quotes } },
  })
  const jobs = [...quotes.keys()].map(job)
  const rejected = [{ ...job(8), totalUrls: quotes[0] }, { note: quotes }]
  const items = [...jobs, ...rejected]
  const pagination = { page: 1, limit: 50, total: items.length, totalPages: 1 }
  const list: Answer = (response) => void response.end(JSON.stringify({ jobs: items, pagination }))
  await using api = await fakeSpidra([list])
  const { env } = sceneOf(database, api.url)

  const results = [await runCli(['sync', '--json'], { env }), await runCli(['report', '--json'], { env })]

  const rows = await everyRow(database)
  const output = results.map(({ stdout, stderr }) => stdout + stderr).join('\n')
  expect(JSON.parse(results[0]?.stdout ?? '')).toMatchObject({ inserted: jobs.length, rejected: rejected.length })
  expect(rows).toContain('[redacted]')
  expect(holdsKey(JSON.stringify(quotes))).toBe(true)
  expect([holdsKey(rows), holdsKey(output)]).toEqual([false, false])
})

test('nor in the record, the status and the webhook of a run whose error quotes the key', async () => {
  await using database = await createCliDatabase({ password: SECRETS.database })
  // Short enough for the quotation of an error.
  const [first, ...others] = quotes.map(
    (quote): Answer =>
      (response) => {
        response.writeHead(400).end(JSON.stringify({ message: quote }))
      },
  )
  await using api = await fakeSpidra([first ?? quote, ...others])
  await using receiver = await openWebhookReceiver()
  const env = { ...sceneOf(database, api.url).env, ALERT_WEBHOOK_URL: receiver.url, ALERT_AFTER_FAILURES: '2' }
  await using service = await startCli(['start'], { env })
  await expect.poll(() => api.requests.length, { timeout: 25_000 }).toBeGreaterThan(quotes.length)
  await expect.poll(() => receiver.posted.length, { timeout: 10_000 }).toBeGreaterThan(0)
  const seen = [await bodiesOf(service), await everyRow(database), JSON.stringify(receiver.posted)]
  service.kill('SIGTERM')
  const { stdout, stderr } = await service.ended
  seen.push(stdout, stderr, (await runCli(['status'], { env })).stdout, (await runCli(['doctor'], { env })).stdout)

  expect(seen.join('\n')).toContain('[redacted]')
  expect(seen.map(holdsKey)).toEqual(seen.map(() => false))
})

/** What makes a program say more. Each process bears all of a row, as their outputs add up. */
const LOUD: readonly Readonly<Record<string, string>>[] = [
  {
    DEBUG: '*,prisma:*',
    NODE_OPTIONS: '--trace-warnings --trace-uncaught --trace-exit --trace-deprecation --trace-sigint',
  },
  { NODE_DEBUG: '*' },
]

test.each(LOUD)(
  'nor with %o',
  async (loud) => {
    await using database = await createCliDatabase({ password: SECRETS.database })
    await using api = await startSimulator({ jobs: 60, key: SECRETS.key, rateLimit: 'off' })
    await using receiver = await openWebhookReceiver()
    const webhook = `${receiver.url}/canary-webhook`
    const env = { ...sceneOf(database, api.url).env, ALERT_WEBHOOK_URL: webhook, ...loud }
    const commands = [['migrate'], ['sync', '--json'], ['status'], ['verify'], ['doctor']]

    for (const command of commands) {
      const { code, stdout, stderr } = await runCli(command, { env })

      expect([command, code]).toEqual([command, 0])
      expect(leaksIn(stdout + stderr, [...all, webhook, '/canary-webhook'])).toEqual([])
      expect(holdsKey(stdout + stderr)).toBe(false)
      expect(stdout + stderr).not.toContain('canary')
      if ('DEBUG' in loud) expect(stderr).not.toContain('prisma:')
    }
  },
  120_000,
)

test.each(LOUD)(
  'nor in any command whose password the database refuses, with %o',
  async (loud) => {
    await using database = await createCliDatabase({ password: SECRETS.database })
    const wrong = new URL(database.url)
    wrong.password = encodeURIComponent('canary of another database')
    const { env } = sceneOf({ ...database, url: wrong.href }, 'http://127.0.0.1:9')
    const commands = [
      ...[['start'], ['sync'], ['status'], ['doctor'], ['report'], ['verify'], ['migrate']],
      ['grant-reader', 'somebody'],
    ]

    for (const command of commands) {
      const { code, stdout, stderr } = await runCli(command, { env: { ...env, ...loud } })

      expect([command, code]).toEqual([command, 1])
      // `doctor` breaks lines between words.
      expect((stdout + stderr).replace(/\s+/g, ' ')).toContain('refuses user')
      expect(stdout + stderr).not.toContain('canary')
    }
  },
  120_000,
)

test('nor of a key that SIGHUP brings', { timeout: 60_000 }, async () => {
  await using database = await createCliDatabase({ password: SECRETS.database })
  await using api = await fakeSpidra([quote])
  await using receiver = await openWebhookReceiver()
  await using folder = await createFolder()
  const file = join(folder.path, 'accounts.json')
  const write = (entries: readonly object[]) => writeFile(file, JSON.stringify(entries), { mode: 0o600 })
  const known = ['first', 'other'].map((name) => ({ name, apiKey: `spd_canary-of-the-${name}` }))
  await write(known)
  const { SPIDRA_API_KEY: _, ...others } = sceneOf(database, api.url).env
  const env = { ...others, SPIDRA_ACCOUNTS_FILE: file, ALERT_WEBHOOK_URL: receiver.url, ALERT_AFTER_FAILURES: '1' }
  await using service = await startCli(['start'], { env })
  await service.says(/"account":"first".*"msg":"run failed"/)

  await write([...known, { name: 'second', apiKey: SECRETS.key }])
  service.kill('SIGHUP')
  await service.says(/"account":"second".*"msg":"run failed"/)
  await expect.poll(() => JSON.stringify(receiver.posted), { timeout: 40_000 }).toContain('second')

  const seen = [await bodiesOf(service), await everyRow(database), JSON.stringify(receiver.posted)]
  service.kill('SIGTERM')
  const { stdout, stderr } = await service.ended
  expect(seen.join('\n')).toContain('[redacted]')
  expect([...seen, stdout, stderr].filter((text) => holdsKey(text) || text.includes('canary'))).toEqual([])
})

test('nor where a proxy refuses, or the database does not know the password', async () => {
  await using database = await createCliDatabase({ password: SECRETS.database })
  await using proxy = await fakeProxy('refuse')
  const { env } = sceneOf(database, 'https://api.spidra.invalid/api', proxy.url)
  const wrong = new URL(database.url)
  wrong.password = encodeURIComponent(`${SECRETS.database}!`)

  const refused = await runCli(['sync'], { env })
  const unknown = await runCli(['sync'], { env: { ...env, DATABASE_URL: wrong.href } })

  expect([refused.code, unknown.code]).toEqual([1, 1])
  expect(proxy.requests[0]?.headers['proxy-authorization']).toBe(`Basic ${btoa(`worker:${SECRETS.proxy}`)}`)
  expect(refused.stderr).toContain('HTTPS_PROXY')
  expect(unknown.stderr).toContain('refuses user')
  const seen = [refused, unknown].flatMap(({ stdout, stderr }) => [stdout, stderr])
  expect([...seen, await everyRow(database)].join('\n')).not.toContain('canary')
})

/** Program text for `--import` that runs `statement` as soon as `condition` holds. It finds every secret in `text`. */
function crashBy(statement: string, condition: string): string {
  const program = `
    const values = Object.values(process.env)
    const base64 = values.map((value) => Buffer.from('u:' + value).toString('base64'))
    const text = [...values, ...values.map(encodeURIComponent), ...base64].join(' ')
    const timer = setInterval(async () => {
      if (!(${condition})) return
      clearInterval(timer)
      ${statement}
    }, 1)`
  return `data:text/javascript,${encodeURIComponent(program)}`
}

/** Before the configuration is read, and afterwards. */
const MOMENTS = ["process.listenerCount('uncaughtException') > 0", 'process.env.SPIDRA_API_KEY === undefined']

test.each([
  ['an exception that nobody catches', 'setTimeout(() => { throw new Error("boom " + text) })'],
  ['a rejection that nobody handles', 'throw new Error("boom " + text)'],
  ['a rejection with a text', 'throw "boom " + text'],
  [
    'an error with a cause and properties',
    'throw Object.assign(new AggregateError([new Error(text)], "boom", { cause: new Error(text) }), { text })',
  ],
])('nor in a crash by %s, at whatever time', async (_, statement) => {
  await using database = await createCliDatabase({ password: SECRETS.database })
  await using api = await fakeSpidra([(response) => void response.on('close', () => {})])
  const { env } = sceneOf(database, api.url)

  for (const moment of MOMENTS) {
    const nodeFlags = [`--import=${crashBy(statement, moment)}`]
    const { code, stdout, stderr } = await runCli(['start'], { env, nodeFlags })

    expect(code).toBe(1)
    expect(stderr).toMatch(/(^|\n)spidra-sync: .*boom/)
    expect(stdout + stderr).not.toContain('canary')
    expect(leaksIn(stdout + stderr, all)).toEqual([])
  }
})

test("nor in Node's diagnostic report", async () => {
  await using database = await createCliDatabase({ password: SECRETS.database })
  await using api = await startSimulator({ jobs: 60, key: SECRETS.key, rateLimit: 'off' })
  await using folder = await createFolder()
  const reports = join(folder.path, 'reports')
  await mkdir(reports)
  const nodeFlags = ['--report-on-signal', '--report-signal=SIGUSR2', `--report-directory=${reports}`]
  const { env } = sceneOf(database, api.url)
  await using service = await startCli(['start'], { env, nodeFlags, cwd: folder.path })
  await service.says(/run finished/)

  service.kill('SIGUSR2')
  await service.says(/Node\.js report completed/)

  const [name = ''] = await readdir(reports)
  const report = await readFile(join(reports, name), 'utf8')
  expect(JSON.parse(report).header.processId).toBe(service.pid)
  expect(leaksIn(report, all)).toEqual([])
  expect(report.includes('canary')).toBe(false)
})

test('an .env file that everybody can read raises one warning, which shows nothing of it', async () => {
  await using database = await createCliDatabase({ password: SECRETS.database })
  await using folder = await createFolder()
  const path = join(folder.path, '.env')
  await writeFile(path, `SPIDRA_API_KEY='${SECRETS.key.replaceAll("'", '')}'\nDATABASE_URL="${database.url}"\n`)
  await chmod(path, 0o644)

  const open = await runCli(['migrate'], { cwd: folder.path })
  await chmod(path, 0o600)
  const closed = await runCli(['migrate'], { cwd: folder.path })

  expect([open.code, closed.code]).toEqual([0, 0])
  expect(open.stderr.match(/"level":"warn".*chmod 600 \.env/g)).toHaveLength(1)
  expect(closed.stderr).not.toContain('chmod')
  expect(open.stdout + open.stderr).not.toContain('canary')
})
