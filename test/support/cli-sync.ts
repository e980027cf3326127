import { expect } from 'vitest'
import { runSyncCommand } from '../../src/commands/sync.js'
import type { Environment } from '../../src/config/variables.js'
import { API_KEY, type CliResult, runCli } from './cli.js'
import { commandContext } from './command-context.js'

/** Runs `sync --json`. `summary` is the single line of its standard output, parsed. */
export async function sync(
  api: { readonly url: string },
  { url }: { readonly url: string },
  env: Readonly<Record<string, string>> = {},
) {
  const result = await runCli(['sync', '--json'], {
    env: { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: url, RATE_LIMIT_REQUESTS: 'off', ...env },
  })
  return { ...result, summary: summaryOf(result) }
}

/** Parses standard output, which must be a single line of JSON. */
export function summaryOf({ stdout, stderr }: CliResult): Record<string, unknown> {
  expect(stdout, stderr).toMatch(/^\{[^\n]*\}\n$/)
  return JSON.parse(stdout)
}

/**
 * Runs `sync` in this process, where it only prepares a test or shows how the next run ends: a process of its own takes a
 * second of CPU more.
 */
export async function syncInProcess(env: Environment, { full = false, json = true } = {}) {
  const { context, written } = commandContext(env)
  const code = await runSyncCommand(context, { full, acceptRemovals: false, json })
  return { code, stdout: written.join('') }
}
