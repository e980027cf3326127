import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Simulator } from '../../src/simulator/server.js'
import { type CliProcess, type CliResult, createFolder, runCli, startCli } from './cli.js'
import type { TestDatabase } from './test-database.js'

/**
 * The processes of a fleet on one machine, each worker with its own address. Disposing of it kills those that still
 * run.
 */
export interface TestFleet extends AsyncDisposable {
  /** Every process started so far, including ended ones. */
  readonly processes: readonly CliProcess[]
  startScheduler(): Promise<CliProcess>
  /**
   * @param address the last number of 127.0.0.n.
   * @param databaseUrl default: that of the fleet.
   */
  startWorker(address: number, databaseUrl?: string): Promise<CliProcess>
  /** Starts a process that is scheduler and worker. */
  startBoth(): Promise<CliProcess>
  /** Runs `status`. */
  status(...flags: readonly string[]): Promise<CliResult>
  /** Replaces the accounts file. At first it has all accounts of the simulator. */
  write(content: readonly FileEntry[] | string): Promise<void>
}

/** Creates an accounts file for all accounts of the simulator, and functions that start processes with it. */
export async function createFleet(
  simulator: Simulator,
  database: Pick<TestDatabase, 'url'>,
  env: Readonly<Record<string, string>> = {},
): Promise<TestFleet> {
  const folder = await createFolder()
  const file = join(folder.path, 'accounts.json')
  const write = (content: readonly FileEntry[] | string) =>
    writeFile(file, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 })
  await write(entriesOf(simulator))
  const processes: CliProcess[] = []
  const shared = {
    ...{ DATABASE_URL: database.url, SPIDRA_ACCOUNTS_FILE: file, SPIDRA_API_URL: simulator.url, HTTP_PORT: 'off' },
    ...{ SYNC_SCHEDULE: '*/5 * * * * *', FULL_SYNC_SCHEDULE: 'off', ...env },
  }

  async function start(role: string | null, own: Readonly<Record<string, string>>): Promise<CliProcess> {
    const flags = role === null ? [] : ['--role', role]
    const started = await startCli(['start', ...flags], { env: { ...shared, ...own } })
    processes.push(started)
    return started
  }

  return {
    processes,
    write,
    startScheduler: () => start('scheduler', {}),
    startBoth: () => start(null, {}),
    status: (...flags) => runCli(['status', ...flags], { env: shared }),
    startWorker: (address, url = database.url) =>
      start('worker', { DATABASE_URL: url, SOURCE_ADDRESS: `127.0.0.${address}` }),
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((one) => one[Symbol.asyncDispose]()))
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** An entry of an accounts file. */
export interface FileEntry {
  readonly name: string
  readonly apiKey: string
  readonly schedule?: string
}

/** Entries for all accounts of the simulator. */
export const entriesOf = ({ accounts }: Simulator): FileEntry[] =>
  accounts.map(({ number, key }) => ({ name: nameOf(number), apiKey: key }))

/** The name of an account of the simulator, by its number. */
export const nameOf = (number: number) => `account ${number}`

/** The number of accounts that have had a complete run. */
export async function completeAccounts({ sql }: Pick<TestDatabase, 'sql'>): Promise<number> {
  const [row] = await sql<{ complete: number }>(
    'SELECT count(*)::integer AS complete FROM spidra.sync_state WHERE last_complete_at IS NOT NULL',
  )
  return row?.complete ?? 0
}

/** Finds runs of one account that were under way at the same time. */
export const overlaps = ({ sql }: Pick<TestDatabase, 'sql'>) =>
  sql(`SELECT a.account, a.id, a.worker, a.status, b.id AS other, b.worker AS other_worker
       FROM spidra.sync_runs a JOIN spidra.sync_runs b
       ON b.account = a.account AND b.id > a.id AND b.started_at < coalesce(a.finished_at, now())`)

/** Lists the uuids in which the table differs from the accounts' lists. */
export async function differences({ sql }: Pick<TestDatabase, 'sql'>, simulator: Simulator): Promise<string[]> {
  const rows = await sql<{ account: string; uuid: string }>(
    'SELECT account, uuid::text AS uuid FROM spidra.batch_jobs WHERE removed_at IS NULL',
  )
  return simulator.accounts.flatMap(({ number, account }) => {
    const stored = new Set(rows.filter((row) => row.account === nameOf(number)).map(({ uuid }) => uuid))
    const listed = new Set(account.allUuids())
    const missing = [...listed].filter((uuid) => !stored.has(uuid)).map((uuid) => `${nameOf(number)} lacks ${uuid}`)
    const extra = [...stored]
      .filter((uuid) => !listed.has(uuid))
      .map((uuid) => `${nameOf(number)} has ${uuid} too many`)
    return [...missing, ...extra]
  })
}
