import { expect, test } from 'vitest'
import { showStatus } from '../../src/commands/status.js'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY, runCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import { startOnTerminal, toScreen } from '../support/terminal.js'
import { createTestDatabase } from '../support/test-database.js'

async function shown(options: { json: boolean; accounts?: readonly string[] }) {
  await using database = await createTestDatabase()
  await database.sql(
    `INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('default', now() - interval '4 minutes')`,
  )
  const written: string[] = []
  const stdout = { write: (text: string) => written.push(text) }
  const rateLimit = { requests: 300, windowSeconds: 900, reserve: 0.5 }
  await showStatus(database.db, { accounts: ['default'], rateLimit, stdout, ...options })
  return written.join('')
}

test('writes freshness first', async () => {
  expect(await shown({ json: false })).toMatch(/^Complete as of 4 min( \d+ s)? ago/)
})

test.each([[['default']], [['default', 'other']]])(
  'writes one line of JSON with --json, of the same shape for %j',
  async (accounts) => {
    const text = await shown({ json: true, accounts })

    expect(text).toMatch(/^[^\n]+\n$/)
    const document = JSON.parse(text)
    expect(Object.keys(document)).toEqual(['version', 'accounts', 'fleet'])
    expect(document).toMatchObject({ version: 1, accounts: accounts.map((account) => ({ account })), fleet: null })
    expect(document.accounts[0]).toMatchObject({ lagSeconds: expect.closeTo(240, -1), runs: [] })
  },
)

test('the command tells what a sync did, and needs no key', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 60, key: API_KEY, rateLimit: 'off' })
  const env = { DATABASE_URL: database.url }

  const before = await runCli(['status'], { env })
  await syncInProcess({ ...env, SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url })
  const after = await runCli(['status', '--json'], { env })
  const other = await runCli(['status', '--account', 'other'], { env })

  expect(before).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^No run yet\.\n/) })
  expect(after).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(after.stdout)).toMatchObject({
    version: 1,
    accounts: [{ liveJobs: 60, runs: [{ status: 'complete', trigger: 'manual' }] }],
    fleet: null,
  })
  expect(other).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Known: default.') })
})

test('is coloured on a terminal, unless NO_COLOR is set, and nowhere else', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 60, key: API_KEY, rateLimit: 'off' })
  const env = { DATABASE_URL: database.url }
  await syncInProcess({ ...env, SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url })
  const onTerminal = async (more: Record<string, string>) => {
    await using cli = await startOnTerminal(['status'], { env: { ...env, ...more } })
    return (await cli.ended).stdout
  }

  const coloured = await onTerminal({})
  const { stdout: piped } = await runCli(['status'], { env })

  expect(coloured).toContain('\u001b[32mcomplete\u001b[39m')
  // Ages grow between the two, so only the table is compared.
  expect(toScreen(coloured, 80).slice(-2)).toEqual(piped.split('\n').slice(-3, -1))
  expect(piped).not.toContain('\u001b')
  expect(await onTerminal({ NO_COLOR: '1' })).not.toContain('\u001b')
})
