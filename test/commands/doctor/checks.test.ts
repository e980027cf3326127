import { escapeIdentifier } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkFreshness, checkLease, checkRejections, checkRuns } from '../../../src/commands/doctor/account-checks.js'
import { checkApi } from '../../../src/commands/doctor/api-checks.js'
import { compareClocks, toCheckText } from '../../../src/commands/doctor/check.js'
import { checkMigrations, checkRights } from '../../../src/commands/doctor/database-checks.js'
import { checkDisk } from '../../../src/commands/doctor/disk-check.js'
import { checkConfiguration, checkNode } from '../../../src/commands/doctor/doctor.js'
import { loadUsableConfig } from '../../../src/config/usable.js'
import { openReadOnly, type ReadOnlyConnection } from '../../../src/db/read-only.js'
import { createCliDatabase } from '../../support/cli-database.js'
import { emptyList, fakeSpidra, reply } from '../../support/fake-spidra.js'
import { shareTestDatabase } from '../../support/shared-database.js'
import { createTestDatabase } from '../../support/test-database.js'

const ACCOUNT = 'default'
const { signal } = new AbortController()
const database = await shareTestDatabase()
let connection: ReadOnlyConnection
beforeAll(async () => {
  connection = await openReadOnly(database.url, signal)
})
afterAll(() => connection.close())

const insertRun = (status: string, startedAgo: string, heartbeatAgo = startedAgo) =>
  database.sql(
    `INSERT INTO spidra.sync_runs (account, mode, trigger, status, started_at, heartbeat_at, worker, error_code, error_message)
     VALUES ('default', 'full', 'manual', $1, now() - $2::interval, now() - $3::interval, 'box:7', 'forbidden', 'no way')`,
    [status, startedAgo, heartbeatAgo],
  )

test('lock: a free account is ok, and so is one held by a live worker', async () => {
  expect(await checkLease(connection, ACCOUNT)).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining('Nobody'),
  })

  await insertRun('running', '5 minutes', '3 seconds')

  expect(await checkLease(connection, ACCOUNT)).toMatchObject({
    status: 'ok',
    detail: expect.stringMatching(/being run by box:7 since .*; last heartbeat \d+ s ago/),
  })
  expect(await checkLease(connection, 'other')).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining('Nobody'),
  })
  expect(await checkRuns(connection, ACCOUNT, [])).toMatchObject({ status: 'ok' })
})

test('lock: warns of a run without heartbeat', async () => {
  await insertRun('running', '10 minutes', '5 minutes')

  expect(await checkLease(connection, ACCOUNT)).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('for 5 min'),
  })

  expect(await checkRuns(connection, 'other', [])).toMatchObject({ status: 'warn', detail: 'No run yet.' })
})

test('runs: reports the last run with its reason, and repeats no error message of another check', async () => {
  await insertRun('complete', '2 hours')
  expect(await checkRuns(connection, ACCOUNT, [])).toMatchObject({ status: 'ok' })
  await insertRun('failed', '1 hour')

  expect(await checkRuns(connection, ACCOUNT, [])).toMatchObject({
    status: 'warn',
    detail: expect.stringMatching(/failed \(forbidden: no way\)/),
  })
  expect(await checkRuns(connection, ACCOUNT, ['no way.'])).toMatchObject({
    status: 'warn',
    detail: expect.stringMatching(/failed \(forbidden\)\.$/),
  })
})

test('runs: fails after a run that found the disk full', async () => {
  await insertRun('failed', '1 second')
  await database.sql(
    "UPDATE spidra.sync_runs SET error_code = 'disk_full' WHERE id = (SELECT max(id) FROM spidra.sync_runs)",
  )

  expect(await checkRuns(connection, ACCOUNT, [])).toMatchObject({ status: 'fail' })
})

test('freshness: fails beyond ALERT_STALE_MINUTES, and warns before the first complete run', async () => {
  const ask = (staleMinutes: number) => checkFreshness(connection, { account: ACCOUNT, staleMinutes })
  expect(await ask(60)).toMatchObject({ status: 'warn' })
  await database.sql(
    `INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('default', now() - interval '30 minutes')`,
  )

  expect(await ask(60)).toMatchObject({ status: 'ok', detail: expect.stringContaining('30 min ago') })
  expect(await ask(29)).toMatchObject({ status: 'fail' })
})

test('rejections: counts the open ones of the account, and no resolved ones', async () => {
  await database.sql(
    `INSERT INTO spidra.rejected_jobs (account, fingerprint, payload, reason, run_id, resolved_at) VALUES
     ('default', 'a', '{}', 'status is missing', 1, NULL), ('default', 'b', '{}', 'x', 1, now()), ('other', 'c', '{}', 'y', 1, NULL)`,
  )

  expect(await checkRejections(connection, ACCOUNT)).toMatchObject({
    status: 'warn',
    detail: 'Listed items that could not be stored as jobs: 1, such as: status is missing',
  })
  expect(await checkRejections(connection, 'third')).toMatchObject({ status: 'ok' })
})

test('disk: reports sizes, the growth of a day, and the size in HISTORY_DAYS', async () => {
  expect((await checkDisk(connection, 400)).detail).toContain('a day after the first run')
  await database.sql(`
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, started_at, finished_at, worker)
    SELECT 'default', 'full', 'manual', 'complete', t, t, 'w' FROM generate_series(now() - interval '10 days', now(), '5 minutes') t;
    INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, created_at)
    SELECT gen_random_uuid(), 'completed', 1, 1, 0, now() - n * interval '1 hour' FROM generate_series(1, 24 * 60) n;
    SELECT spidra.keep_stale_days('default')`)

  const { status, detail } = await checkDisk(connection, 400)

  expect(status).toBe('ok')
  expect(detail).toMatch(
    /^Our tables take [\d.]+ (k|M)B, the database [\d.]+ MB\. A day brings 2\d jobs, 288 runs and 0 changes: about [\d.]+ MB in 400 days\.$/,
  )
  expect(await checkDisk(connection, 9)).toMatchObject({ status: 'ok' })
  expect(await checkDisk(connection, 7)).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('10 days old'),
  })
})

test('rights: a role that may not create schemas gets the statements that it needs', async () => {
  await using own = await createCliDatabase()
  const { username, pathname } = new URL(own.url)
  const name = pathname.slice(1)
  const rights = async () => {
    const asOwner = await openReadOnly(own.url, signal)
    const finding = await checkRights(asOwner)
    await asOwner.close()
    return finding
  }
  expect(await rights()).toMatchObject({ status: 'ok' })
  await own.sql(`ALTER ROLE "${username}" SET quote_all_identifiers = on`)
  expect(await rights()).toMatchObject({ status: 'ok' })
  await own.sql(`ALTER ROLE "${username}" RESET quote_all_identifiers`)

  await own.sql(`ALTER DATABASE ${escapeIdentifier(name)} OWNER TO CURRENT_USER`)
  expect(await rights()).toMatchObject({
    status: 'fail',
    fix: expect.stringContaining(`CREATE SCHEMA spidra AUTHORIZATION "${username}"; CREATE SCHEMA spidra_reporting`),
  })

  await own.sql(`CREATE SCHEMA spidra AUTHORIZATION "${username}"; CREATE SCHEMA spidra_reporting`)
  expect(await rights()).toMatchObject({ status: 'fail', fix: expect.stringContaining('ON SCHEMA spidra_reporting') })

  await own.sql(`GRANT ALL ON SCHEMA spidra_reporting TO "${username}"; CREATE TABLE spidra.batch_jobs ()`)
  expect(await rights()).toMatchObject({ status: 'fail', detail: expect.stringContaining('spidra.batch_jobs') })

  await own.sql(`GRANT ALL ON spidra.batch_jobs TO "${username}"`)
  expect(await rights()).toMatchObject({ status: 'warn', detail: expect.stringContaining('another role') })

  await own.sql('ALTER TABLE spidra.batch_jobs ENABLE ROW LEVEL SECURITY')
  expect(await rights()).toMatchObject({ status: 'fail', detail: expect.stringContaining('of spidra.batch_jobs for') })
  await own.sql(`CREATE POLICY few ON spidra.batch_jobs TO "${username}" USING (current_date < '2000-01-01')`)
  expect(await rights()).toMatchObject({ status: 'fail' })
  await own.sql(`CREATE POLICY spidra_sync ON spidra.batch_jobs TO "${username}" USING (true)`)
  expect(await rights()).toMatchObject({ status: 'warn', detail: expect.stringContaining('another role') })
  await own.sql('CREATE POLICY none ON spidra.batch_jobs AS RESTRICTIVE USING (false)')
  expect(await rights()).toMatchObject({ status: 'fail' })

  await own.sql(`ALTER ROLE "${username}" SET default_transaction_read_only = on`)
  expect(await rights()).toMatchObject({ status: 'fail', detail: expect.stringContaining('read-only') })
})

test('migrations: an edited one fails, a newer one warns, and the tables can be read in both cases', async () => {
  await using own = await createTestDatabase()
  expect(await checkMigrations(own.db)).toMatchObject({ finding: { status: 'ok' }, isCurrent: true })

  await own.sql(
    `INSERT INTO spidra._prisma_migrations (id, checksum, migration_name, finished_at) VALUES ('x', 'x', '2099_x', now())`,
  )
  expect(await checkMigrations(own.db)).toMatchObject({
    finding: { status: 'warn', detail: expect.stringContaining('2099_x') },
    isCurrent: true,
  })
  await own.sql(`UPDATE spidra._prisma_migrations SET checksum = 'other'`)
  expect(await checkMigrations(own.db)).toMatchObject({ finding: { status: 'fail' }, isCurrent: true })
  await own.sql('UPDATE spidra._prisma_migrations SET finished_at = NULL')
  expect(await checkMigrations(own.db)).toMatchObject({ finding: { status: 'fail' }, isCurrent: false })
})

test('rate limit: enough requests are ok, a reserved or spent budget warns', async () => {
  const { config } = loadUsableConfig({ SPIDRA_API_KEY: 'spd_x' })
  const ask = async (...answers: Parameters<typeof fakeSpidra>[0]) => {
    await using api = await fakeSpidra(answers)
    const checks = await checkApi({ ...config, spidra: { ...config.spidra, apiUrl: api.url } }, signal)
    return Object.fromEntries(checks.map((check) => [check.name, check]))
  }
  const withRemaining = (remaining: number) =>
    emptyList({ 'RateLimit-Limit': '300', 'RateLimit-Remaining': String(remaining), 'RateLimit-Reset': '60' })

  expect((await ask(withRemaining(151)))['rate limit']).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining('151 of 300'),
  })
  expect((await ask(withRemaining(150)))['rate limit']).toMatchObject({ status: 'warn' })
  expect((await ask(emptyList()))['rate limit']).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining('300 requests every 15 min'),
  })
  const spent = await ask(reply(429, { message: 'slow down' }, { 'Retry-After': '9' }))
  expect(spent).toMatchObject({ api: { status: 'ok' }, key: { status: 'skip' }, 'rate limit': { status: 'warn' } })
  expect((await ask(reply(200, '<html>'))).api).toMatchObject({
    status: 'fail',
    detail: expect.stringContaining('SPIDRA_API_URL'),
  })
  expect((await ask(reply(503, {}))).api).toMatchObject({ status: 'fail' })
})

test('clocks: a slow answer alone shows no skew', () => {
  const between = (askedAt: number, answeredAt: number) =>
    compareClocks(100_000, { askedAt, answeredAt, precisionMs: 1000 }, 'the API').status

  expect(between(40_000, 101_000)).toBe('ok')
  expect(between(131_000, 131_500)).toBe('ok')
  expect(between(131_001, 131_500)).toBe('warn')
  expect(between(60_000, 70_000)).toBe('ok')
  expect(between(60_000, 69_999)).toBe('warn')
})

test('Node: the floor is 20.19', () => {
  const versions = ['18.20.0', '20.18.9', '20.19.0', '22.1.0', '24.0.0']
  expect(versions.map((version) => checkNode(version).status)).toEqual(['fail', 'fail', 'ok', 'ok', 'ok'])
})

test('configuration: warns of parameters of DATABASE_URL that node-postgres reads differently', () => {
  const ask = (query: string) =>
    checkConfiguration(loadUsableConfig({ SPIDRA_API_KEY: 'spd_x', DATABASE_URL: `postgres://me@host/db${query}` }))

  expect(ask('?sslmode=require')).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('uselibpqcompat=true'),
  })
  expect(ask('?sslmode=require&uselibpqcompat=true')).toMatchObject({ status: 'ok' })
  expect(ask('?schema=mine')).toMatchObject({ status: 'warn', detail: expect.stringContaining('schema is ignored') })
})

test('the text has at most 80 columns, whatever the words, and no control characters', () => {
  const detail = `See https://${'a-long-name.'.repeat(12)}test \u001b[2J, and ${'more words '.repeat(12)}`
  const text = toCheckText({ name: 'api', status: 'fail', detail, fix: 'x'.repeat(200) }, { colour: false })

  expect(text.split('\n').filter((line) => line.length > 80)).toEqual([])
  expect(text.replace(/\s/g, '')).toContain('a-long-name.'.repeat(12))
  expect(text).not.toContain('\u001b')
  expect(text).toMatch(/^fail {2}api {13}See\n {22}https/)
})
