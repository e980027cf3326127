import { join } from 'node:path'
import { pino } from 'pino'
import { readAccounts, readAccountsFile } from '../../src/config/accounts.js'
import { loadConfig } from '../../src/config/config.js'
import type { Environment } from '../../src/config/variables.js'
import type { CommandContext } from '../../src/service/context.js'

/**
 * Creates the context that `cli.ts` gives to a command in this environment. `written` collects the command's output.
 */
export function commandContext(
  env: Environment,
  workingDirectory = '.',
): { readonly context: CommandContext<string | null>; readonly written: string[] } {
  const written: string[] = []
  const config = loadConfig(env, { needs: 'sync' })
  const { accounts } = readAccounts({ config, file: readAccountsFile(env), env })
  const context = {
    config,
    account: 'default',
    named: null,
    configured: accounts.map(({ name }) => name),
    readers: accounts.filter(({ results }) => results !== null).length,
    accounts,
    reloadAccounts: () => accounts,
    onHangup: () => () => undefined,
    embeddedDirectory: join(workingDirectory, '.spidra-sync'),
    worker: 'test:1',
    version: '0.0.0',
    self: 'spidra-sync',
    log: pino({ level: 'silent' }),
    stdout: { write: (text: string) => written.push(text) },
    stderr: process.stderr,
    signal: new AbortController().signal,
  }
  return { context, written }
}
