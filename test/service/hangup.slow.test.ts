import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  API_KEY,
  CLI,
  type CliOptions,
  createFolder,
  embeddedPostgresIn,
  startCli,
  startProcess,
} from '../support/cli.js'
import { PATIENCE, simulateFor } from '../support/service.js'
import { startOnTerminal } from '../support/terminal.js'

const WITHOUT_DATABASE = { SPIDRA_API_KEY: API_KEY, HTTP_PORT: '0', RATE_LIMIT_REQUESTS: 'off' }

/** What people leave running in a terminal, what it says once it is under way, and how it ends. */
const PROGRAMS = [
  [['demo'], /Ctrl-C stops everything/, /\nStopping\.\n$/],
  [['demo', '--accounts', '2', '--workers', '2'], /runs? under way/, /\nStopping\.\n$/],
  [['simulate', '--port', '0'], /\nTry: /, /\n$/],
  [['start'], /"msg":"run finished"/, /"msg":"service stopped"\}\n$/],
] as const

describe('SIGHUP', { timeout: 60_000 }, () => {
  test.each(PROGRAMS)('%j: ends in order with 0, and leaves no Postgres behind', async (args, underWay, lastWords) => {
    await using folder = await createFolder()
    await using api = await simulateFor()
    const env = { ...WITHOUT_DATABASE, SPIDRA_API_URL: api.url }
    await using program = await startCli(args, { cwd: folder.path, env })
    await program.says(underWay)

    program.kill('SIGHUP')

    expect(await program.ended).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(lastWords) })
    expect(await embeddedPostgresIn(folder.path)).toEqual([])
  })
})

describe('a terminal that is closed', { timeout: 60_000 }, () => {
  test.each(PROGRAMS.filter(([[command]]) => command === 'demo'))('%j: no Postgres is left', async (args, underWay) => {
    await using folder = await createFolder()
    await using program = await startOnTerminal(args, { cwd: folder.path, env: { HTTP_PORT: '0' } })
    await program.says(underWay)
    expect(await embeddedPostgresIn(folder.path)).toHaveLength(1)

    program.kill('SIGKILL') // it is what lends the terminal

    await expect.poll(() => embeddedPostgresIn(folder.path), PATIENCE).toEqual([])
  })

  test('ends a service in order, also when SIGHUP reloads the accounts file', async () => {
    await using folder = await createFolder()
    await using api = await simulateFor({ accounts: 2 })
    const file = join(folder.path, 'accounts.json')
    const entries = api.accounts.map(({ number, key }) => ({ name: `account ${number}`, apiKey: key }))
    await writeFile(file, JSON.stringify(entries), { mode: 0o600 })
    const env = { SPIDRA_ACCOUNTS_FILE: file, SPIDRA_API_URL: api.url, HTTP_PORT: 'off' }
    await using service = await startOnTerminal(['start'], { cwd: folder.path, env })
    await service.says(/fleet joined/)

    service.kill('SIGKILL')

    await expect.poll(() => embeddedPostgresIn(folder.path), PATIENCE).toEqual([])
  })
})

describe('output that cannot be written', { timeout: 60_000 }, () => {
  /** Runs the program with a standard output that is full. */
  const startOnFullDisk = (command: string, options: CliOptions) =>
    startProcess('sh', ['-c', `exec "$NODE" "$CLI" ${command} > /dev/full`], {
      ...options,
      env: { ...options.env, NODE: process.execPath, CLI },
    })

  test('does not stop the service: it says so once, and goes on', async () => {
    await using folder = await createFolder()
    await using api = await simulateFor()
    const env = { ...WITHOUT_DATABASE, SPIDRA_API_URL: api.url, SYNC_SCHEDULE: '* * * * * *' }
    await using service = await startOnFullDisk('start', { cwd: folder.path, env })
    await service.says(/standard output cannot be written/)
    const before = api.requestCount

    await expect.poll(() => api.requestCount, PATIENCE).toBeGreaterThan(before + 2)
    service.kill('SIGTERM')

    expect(await service.ended).toMatchObject({
      code: 0,
      stderr:
        'spidra-sync: standard output cannot be written (ENOSPC): the log is lost until it can be written again\n',
    })
    expect(await embeddedPostgresIn(folder.path)).toEqual([])
  })

  test('is a failure of a command that prints its answer', async () => {
    await using command = await startOnFullDisk('--help', {})

    expect(await command.ended).toMatchObject({
      code: 1,
      stderr: 'spidra-sync: standard output cannot be written (ENOSPC): the output is incomplete\n',
    })
  })
})
