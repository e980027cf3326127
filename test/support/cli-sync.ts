import { expect } from 'vitest'
import { API_KEY, type CliResult, runCli } from './cli.js'

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
