import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { ConfigError, UsageError } from '../../config/errors.js'
import type { Environment } from '../../config/variables.js'
import { lastStartOf } from '../../db/embedded/postgres.js'
import { type CommandContext, type ContextNeeds, EMBEDDED_DIRECTORIES } from '../../service/context.js'

/** Frequent runs, so that the answer to the same query soon changes. */
const DEMO_VARIABLES = {
  SPIDRA_API_KEY: 'spd_demo',
  RATE_LIMIT_REQUESTS: 'off',
  SYNC_SCHEDULE: '*/10 * * * * *',
  FULL_SYNC_SCHEDULE: 'off',
  SYNC_ON_START: 'false',
} as const

/** Name of the accounts file that the demo of a fleet writes into its directory. */
export const ACCOUNTS_FILE = 'accounts.json'

/** Chooses the variables of a demo: nothing else of the environment, so that it never uses a real key or database. */
export function demoVariables({ HTTP_HOST, HTTP_PORT, LOG_FORMAT, LOG_LEVEL }: Environment): Environment {
  return { HTTP_HOST, HTTP_PORT, LOG_FORMAT, LOG_LEVEL: LOG_LEVEL || 'warn', ...DEMO_VARIABLES }
}

/** The items of all batches are read within a few minutes, so that one can watch that too. */
export const DEMO_RESULTS = { results: 'items', resultsPerRun: 200 } as const

/**
 * Finds the demo in the folder, for a command that reads its database. Where both demos have been started, it is the last one.
 *
 * @throws {UsageError} when there is none
 */
export async function findDemo(folder: string): Promise<Pick<ContextNeeds, 'chooseVariables' | 'embeddedDirectory'>> {
  const { demo, demoFleet } = EMBEDDED_DIRECTORIES
  const [single, fleet] = await Promise.all([demo, demoFleet].map((path) => lastStartOf(join(folder, path))))
  if (single == null && fleet == null) {
    throw new UsageError(`There is no demo in ${folder}: start one there with "spidra-sync demo".`)
  }
  const isSingle = (single ?? -1) > (fleet ?? -1)
  const embeddedDirectory = isSingle ? demo : demoFleet
  const state = await readState(demoStateFile(join(folder, embeddedDirectory)))
  const accounts = isSingle
    ? { SYNC_RESULTS: DEMO_RESULTS.results, RESULTS_PER_RUN: String(DEMO_RESULTS.resultsPerRun) }
    : { SPIDRA_API_KEY: undefined, SPIDRA_ACCOUNTS_FILE: join(folder, demoFleet, ACCOUNTS_FILE) }
  return {
    chooseVariables: (env) => ({ ...demoVariables(env), SPIDRA_API_URL: state?.apiUrl, ...accounts }),
    embeddedDirectory,
  }
}

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
  /** Address of the simulator in the last start. */
  apiUrl: z.string().optional(),
})

/** The file of its state, in the directory of a demo. */
export function demoStateFile(directory: string): string {
  return join(directory, 'demo.json')
}

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

/** Stores the address of the simulator, for commands beside the running demo. */
export async function saveDemoApi(path: string, apiUrl: string): Promise<void> {
  await writeFile(path, `${JSON.stringify({ ...(await readState(path)), apiUrl })}\n`, { mode: 0o600 })
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

/** The URL of the read-only role of the demo in this directory. */
export async function demoReaderUrl(directory: string, databaseUrl: string): Promise<string> {
  const state = await readState(demoStateFile(directory))
  return state === null ? databaseUrl : readerUrl(databaseUrl, state.readerPassword)
}

/** A query whose answer changes every few seconds. */
export const SAMPLE_QUERY = `SELECT status, count(*) AS jobs, sum(completed_count) AS urls
FROM spidra_reporting.batch_jobs GROUP BY status ORDER BY jobs DESC;`

/**
 * Explains how to query a running demo, and how to stop it.
 *
 * @param self how this program is called
 */
export function howToQuery(self: string, reader: string, httpUrl: string | null): string {
  const http =
    httpUrl === null
      ? ''
      : `\nThe dashboard, the status and the metrics:\n  ${httpUrl}/\n  ${httpUrl}/api/status\n  ${httpUrl}/metrics\n`
  return `
Ask it in another terminal, in this folder (read-only):
  ${self} psql --demo
  ${self} status --demo

Or connect with any client or BI tool (the URL is the same after a restart):
  psql '${reader}'

Run this query, now and again in a minute:
  ${SAMPLE_QUERY.replace('\n', '\n  ')}
${http}
Ctrl-C stops everything.
`
}
