import { EventEmitter } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { ConfigError, UsageError } from '../../src/config/errors.js'
import { createSecrets } from '../../src/logging/redact.js'
import { createContext, type Edge } from '../../src/service/context.js'
import { onStopSignal } from '../../src/service/stop-signal.js'

/** A context with an accounts file that can be rewritten, and the lines of its log. */
async function openContext({ account = null }: { readonly account?: string | null } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'spidra-sync-context-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const path = join(directory, 'accounts.json')
  const list = (accounts: unknown) => writeFile(path, JSON.stringify(accounts), { mode: 0o600 })
  await list([{ name: 'berlin', apiKey: 'spd_berlin' }])
  const lines: string[] = []
  const stdout = { isTTY: false, write: (text: string) => lines.push(text) }
  const host = Object.assign(new EventEmitter(), {
    ...{ env: { SPIDRA_ACCOUNTS_FILE: path, PARIS: 'spd_paris' }, report: undefined, pid: 7, cwd: () => directory },
    ...{ stdout, stderr: stdout, exit: vi.fn() },
  })
  const stop = onStopSignal(host)
  const edge = { host, stop, secrets: createSecrets([]), version: '0.0.0', account } as unknown as Edge
  const context = await createContext(edge, {
    load: (env, options) => loadConfig(env, { needs: 'service', ...options }),
    logsTo: 'stdout',
  })
  return { context, list, lines, host, path }
}

const namesOf = (accounts: readonly { readonly name: string }[]) => accounts.map(({ name }) => name)

test('reloads the accounts, and hides their keys in the log from then on', async () => {
  const { context, list, lines, host } = await openContext()
  await list([
    { name: 'berlin', apiKey: 'spd_berlin-2' },
    { name: 'paris', apiKeyEnv: 'PARIS' },
  ])

  const accounts = context.reloadAccounts()
  context.log.info('keys: spd_berlin, spd_berlin-2, spd_paris')

  expect(namesOf(context.accounts)).toEqual(['berlin'])
  expect(accounts).toMatchObject([
    { name: 'berlin', apiKey: 'spd_berlin-2' },
    { name: 'paris', apiKey: 'spd_paris' },
  ])
  expect(lines.join('')).toContain('keys: [redacted], [redacted], [redacted]')
  expect(host.env).not.toHaveProperty('PARIS')
})

test('refuses an accounts file that is no longer valid, and still hides its keys', async () => {
  const { context, list, lines } = await openContext()
  await list([{ name: 'berlin', apiKey: 'spd_secret', schedule: 'never' }])

  expect(() => context.reloadAccounts()).toThrow(ConfigError)

  context.log.info('spd_secret')
  expect(lines.join('')).not.toContain('spd_secret')
})

test('with --account, reloads only that account, and throws when it is gone', async () => {
  const { context, list } = await openContext({ account: 'berlin' })
  await list([
    { name: 'paris', apiKey: 'spd_paris' },
    { name: 'berlin', apiKey: 'spd_berlin' },
  ])
  expect(namesOf(context.reloadAccounts())).toEqual(['berlin'])

  await list([{ name: 'paris', apiKey: 'spd_paris' }])

  expect(() => context.reloadAccounts()).toThrow(UsageError)
})

test('logs a warning about the file at every reload', async () => {
  const { context, lines, path } = await openContext()
  await chmod(dirname(path), 0o755)
  await chmod(path, 0o644)

  context.reloadAccounts()

  expect(lines.join('')).toMatch(/"level":"warn".*holds secrets, and every user of this machine can read it/)
})

test('SIGHUP calls its listener, and then does not stop the process', async () => {
  const { context, host } = await openContext()
  const listener = vi.fn()

  context.onHangup(listener)
  host.emit('SIGHUP')

  expect(listener).toHaveBeenCalledOnce()
  expect(context.signal.aborted).toBe(false)
})
