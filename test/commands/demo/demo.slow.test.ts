import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { type CliProcess, createFolder, embeddedPostgresIn, runCli, startCli } from '../../support/cli.js'

/** What only a terminal should get. */
const TERMINAL_ONLY = /\r|\p{Cc}\[/u

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** The URL of the reader's role and the query to try, as the demo prints them. */
async function instructions(demo: CliProcess) {
  const [, url = ''] = await demo.says(/psql '(postgres[^']+)'/)
  const [, sample = ''] = await demo.says(/\n {2}(SELECT [^;]+;)/)
  return { url, sample }
}

async function interrupt(demo: CliProcess) {
  demo.kill('SIGINT')
  return demo.ended
}

test('--once ends by itself, with a summary and the answer to a sample query, and leaves nothing behind', async () => {
  await using folder = await createFolder()

  // A real key and database in the environment are none of the demo's business.
  const env = {
    SPIDRA_API_KEY: 'spd_real',
    DATABASE_URL: 'postgres://real:real@127.0.0.1:9/real',
    NODE_ENV: 'production',
  }
  const { code, stdout, stderr } = await runCli(['demo', '--once'], { cwd: folder.path, env })

  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^A simulated Spidra account of 2,\d{3} jobs, and a real Postgres\./)
  expect(stdout).toMatch(/^Complete: the table holds all 2,\d{3} jobs that the API lists\.\n2,\d{3} inserted, /m)
  expect(stdout).toMatch(/\n\nSELECT status, [^;]+;\n\n╔[\s\S]+completed [\s\S]+╝\n$/)
  expect(stdout).not.toMatch(TERMINAL_ONLY)
  expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  expect(await embeddedPostgresIn(folder.path)).toEqual([])
})

test('lives until Ctrl-C: a read-only URL that survives a restart, and the same query gives new answers', async () => {
  await using folder = await createFolder()
  const options = { cwd: folder.path, env: { HTTP_PORT: '0' } }
  await using first = await startCli(['demo'], options)
  const { url, sample } = await instructions(first)

  const answer = await query(url, sample)
  expect(answer).toContainEqual(expect.objectContaining({ status: 'completed' }))
  for (const forbidden of [
    'DELETE FROM spidra_reporting.sync_run_history',
    'DELETE FROM spidra.batch_jobs',
    'CREATE TABLE spidra_reporting.mine ()',
  ])
    await expect(query(url, forbidden), forbidden).rejects.toMatchObject({ code: '42501' })
  expect(await query(url, 'SELECT status FROM spidra_reporting.sync_run_history')).toContainEqual({
    status: 'complete',
  })
  const [, http = ''] = await first.says(/(http:\S+)\/api\/status/)
  expect(await (await fetch(`${http}/api/status`)).json()).toMatchObject({
    version: 1,
    accounts: [{ account: 'default' }],
  })
  await expect.poll(() => query(url, sample), { timeout: 25_000, interval: 200 }).not.toEqual(answer)
  await first.says(
    /^\d\d:\d\d:\d\d complete: 2,\d{3} jobs listed, \d+ new, \d+ changed, \d+ pages?(, \d+ batch(es)?)? read$/m,
  )

  expect(await interrupt(first)).toMatchObject({
    code: 0,
    stderr: '',
    // A run that ends in the same moment still says so.
    stdout: expect.stringMatching(/\nStopping\.\n(\d\d:\d\d:\d\d complete: .*\n)?$/),
  })
  expect(await embeddedPostgresIn(folder.path)).toEqual([])
  await expect(query(url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })

  await using second = await startCli(['demo'], options)
  expect((await instructions(second)).url).toBe(url)
  expect(await interrupt(second)).toMatchObject({ code: 0, stderr: '' })
}, 60_000)

describe('beside a running demo', () => {
  const DEMOS = [
    { args: ['demo'], accounts: ['default'] },
    { args: ['demo', '--accounts', '2', '--workers', '1'], accounts: ['account-01', 'account-02'] },
  ]

  test.each(DEMOS)(
    '$args: its database is found by --demo, and by the URL that it prints',
    async ({ args, accounts }) => {
      await using folder = await createFolder()
      const options = { cwd: folder.path, env: { HTTP_PORT: '0' } }
      await using demo = await startCli(args, options)
      const { url, sample } = await instructions(demo)
      await demo.says(/\n {2}node \S*cli\.js psql --demo\n/)
      // What the environment says of other databases is nothing to a command with --demo.
      const env = { DATABASE_URL: 'postgres://real:real@127.0.0.1:9/real', SPIDRA_API_KEY: 'spd_real' }
      const shown = accounts.flatMap((account) => ['--account', account]).slice(0, 2)

      for (const place of [
        { flags: ['--demo'], env },
        { flags: shown, env: { DATABASE_URL: url } },
      ]) {
        const run = (command: string) =>
          runCli([command, ...place.flags, '--json'], { cwd: folder.path, env: place.env })
        const status = await run('status')
        expect(status).toMatchObject({ code: 0, stderr: '' })
        const { accounts: found } = JSON.parse(status.stdout)
        expect(found.map(({ account }: { account: string }) => account)).toContain(accounts[0])
        expect(await run('report')).toMatchObject({ code: 0, stderr: '' })
      }
      const doctor = await runCli(['doctor', '--demo'], { cwd: folder.path, env })
      expect(doctor).toMatchObject({ code: 0, stderr: '' })
      expect(doctor.stdout).toMatch(/^ok {4}database {8}Postgres \d/m)
      expect(doctor.stdout).toMatch(/^ok {4}list source {5}(Key and URL are those of the last|No) run/m)
      // A run may still be the first one.
      expect(doctor.stdout).not.toMatch(/^(warn|fail) +list source/m)

      const plan = await runCli(['plan', '--demo', '--json'], { cwd: folder.path, env })
      expect(plan).toMatchObject({ code: 0, stderr: '' })
      expect(plan.stdout).toMatch(new RegExp(`"account":"${accounts[0]}",`))

      const psql = await runCli(['psql', '--demo', '--url'], { cwd: folder.path, env })
      expect(psql.stdout).toMatch(/^postgresql:\/\/spidra_reader:/)
      expect(await query(psql.stdout.trim(), sample.replace('spidra_reporting.', ''))).not.toEqual([])

      expect(await interrupt(demo)).toMatchObject({ code: 0, stderr: '' })
      expect((await runCli(['status', '--demo'], { cwd: folder.path })).code).toBe(0)
      expect(await embeddedPostgresIn(folder.path)).toEqual([])
    },
    60_000,
  )
})

describe('Ctrl-C', () => {
  test('while the database is being created: ends with 0 and nothing is left', async () => {
    await using folder = await createFolder()
    await using demo = await startCli(['demo'], { cwd: folder.path, env: { HTTP_PORT: '0' } })
    const created = () => readdir(join(folder.path, '.spidra-sync', 'demo')).catch(() => [])
    await expect.poll(created, { timeout: 20_000, interval: 5 }).toContainEqual(expect.stringMatching(/^new-/))

    expect(await interrupt(demo)).toMatchObject({ code: 0, stdout: '', stderr: '' })
    expect(await created()).toEqual([])
  })

  test('in the first run: ends with 0, the run is recorded as aborted, and the next start goes on', async () => {
    await using folder = await createFolder()
    const options = { cwd: folder.path, env: { HTTP_PORT: '0', LOG_LEVEL: 'debug' } }
    await using demo = await startCli(['demo'], options)
    await demo.says(/"page":3,/)

    const { code, stdout } = await interrupt(demo)
    expect(code).toBe(0)
    expect(stdout).toMatch(/\nAborted: The worker was asked to stop/)
    expect(await embeddedPostgresIn(folder.path)).toEqual([])

    const next = await runCli(['demo', '--once'], options)
    expect(next.stdout).toMatch(/^Complete: /m)
    expect(next.code).toBe(0)
  })
})

test('a reader that goes away ends it in good order', async () => {
  await using folder = await createFolder()
  const demo = await startCli(['demo'], { cwd: folder.path, env: { HTTP_PORT: '0' } })
  await instructions(demo)

  demo.stopReading()

  expect(await demo.ended).toMatchObject({ code: 0, stderr: '' })
  expect(await embeddedPostgresIn(folder.path)).toEqual([])
}, 60_000)
