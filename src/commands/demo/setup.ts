import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { ConfigError } from '../../config/errors.js'
import type { CommandContext } from '../../service/context.js'

/**
 * The age at which the account is replaced by a new one, because too many jobs would have arrived meanwhile. An account of
 * the future is replaced too: the clock was set back.
 */
const MAX_AGE_MS = 12 * 60 * 60_000

const demoState = z.object({
  /** When the simulated account was created, in epoch milliseconds. Epoch and seed decide its jobs. */
  epoch: z.number(),
  seed: z.int(),
  /** Password of the read-only role. It is kept, so that connections of BI tools still work after a restart. */
  readerPassword: z.string().min(1),
})

/** What the demo keeps between two starts. */
type DemoState = Readonly<z.infer<typeof demoState>> & { readonly isNewAccount: boolean }

/**
 * Reads the state of the demo. Creates a new one if there is none, it cannot be read, or it is 12 hours old.
 *
 * @param now epoch milliseconds
 */
export async function openDemoState(path: string, now: number): Promise<DemoState> {
  const stored = await readState(path)
  const ageMs = now - (stored?.epoch ?? 0)
  if (stored !== null && ageMs >= 0 && ageMs < MAX_AGE_MS) return { ...stored, isNewAccount: false }
  const state = {
    epoch: now,
    seed: (stored?.seed ?? 0) + 1,
    readerPassword: stored?.readerPassword ?? randomBytes(12).toString('base64url'),
  }
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `${JSON.stringify(state)}\n`, { mode: 0o600 })
  return { ...state, isNewAccount: true }
}

async function readState(path: string): Promise<z.infer<typeof demoState> | null> {
  try {
    return demoState.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch {
    return null
  }
}

/** Whether the user has chosen the HTTP port. */
export interface PortChoice {
  readonly isPortChosen: boolean
}

/**
 * Starts a service with HTTP. If the default port is in use, it takes any free one, so that the demo runs beside other
 * programs. A port that the user has chosen is not replaced: then the start fails.
 */
export async function startOnFreePort<Started>(
  context: CommandContext,
  { isPortChosen }: PortChoice,
  start: (context: CommandContext) => Promise<Started>,
): Promise<Started> {
  try {
    return await start(context)
  } catch (error) {
    if (isPortChosen || !(error instanceof ConfigError)) throw error
    const { config } = context
    return start({ ...context, config: { ...config, http: { ...config.http, port: 0 } } })
  }
}

/** The role that may read the reporting views, and nothing else. */
export const READER_ROLE = 'spidra_reader'

/** The database URL of the read-only role. It stays the same over restarts. */
export function readerUrl(databaseUrl: string, password: string): string {
  const url = new URL(databaseUrl)
  url.username = READER_ROLE
  url.password = password
  return url.href
}

/** A query whose answer changes every few seconds. */
export const SAMPLE_QUERY = `SELECT status, count(*) AS jobs, sum(completed_count) AS urls
FROM spidra_reporting.batch_jobs GROUP BY status ORDER BY jobs DESC;`

/** Explains how to query a running demo, and how to stop it. */
export function howToQuery(reader: string, httpUrl: string | null): string {
  const http =
    httpUrl === null
      ? ''
      : `\nThe dashboard, the status and the metrics:\n  ${httpUrl}/\n  ${httpUrl}/api/status\n  ${httpUrl}/metrics\n`
  return `
Connect with psql or a BI tool (read-only, the same after a restart):
  psql '${reader}'

And run this query, now and again in a minute:
  ${SAMPLE_QUERY.replace('\n', '\n  ')}
${http}
Ctrl-C stops everything.
`
}
