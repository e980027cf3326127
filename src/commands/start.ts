import { once } from 'node:events'
import { createServer } from 'node:net'
import { ConfigError, type ConfigProblem } from '../config/errors.js'
import { migrate } from '../db/migrate.js'
import type { FleetRole } from '../fleet/fleet.js'
import { errorCodeOf } from '../logging/error-code.js'
import { forOnlyAccount } from '../service/accounts.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import { assertOwnKeys, openDatabaseForAccounts } from '../service/database.js'
import { fixedAccounts, type LiveAccounts, reloadOnHangup } from '../service/live-accounts.js'
import { type ServiceDatabase, startService } from '../service/service.js'

type Context = CommandContext<string | null>

/**
 * `spidra-sync start`: runs the service until the signal aborts. Returns the exit code.
 *
 * @param role the part of the process in a fleet; null: the process forms a fleet only when there are several accounts
 */
export async function runStartCommand(context: Context, role: FleetRole | null): Promise<number> {
  const { config, log, signal, version } = context
  const problems = problemsOf(context, role)
  if (problems.length > 0) throw new ConfigError(problems)
  await assertOwnAddress(config.spidra.sourceAddress)
  // Without an accounts file there is nothing to reload, and SIGHUP stops the service.
  const liveAccounts = config.accountsFile === null ? fixedAccounts(context.accounts) : reloadOnHangup(context)
  const database = await openDatabaseForAccounts(context)
  // The accounts of a file have names of their own, and may have none named `default`.
  const known = config.accountsFile === null ? { account: context.account } : {}
  log.info({ version, ...known, accounts: context.accounts.length }, 'service starting')
  let isPrepared = false
  /** Brings the tables up to date. HTTP answers meanwhile: another process may migrate, or hold a lock, for long. */
  async function prepare(): Promise<void> {
    if (isPrepared) return
    await migrate(database.databaseUrl, { log, signal })
    await assertOwnKeys(context.accounts, database)
    isPrepared = true
  }
  try {
    while (!signal.aborted) await serve(context, { ...database, prepare }, liveAccounts, role)
  } finally {
    await database.close()
  }
  log.info('service stopped')
  return EXIT_CODES.complete
}

/**
 * Checks that requests can be sent from the address: a worker that cannot send would take runs from the others and fail
 * them.
 *
 * @throws {ConfigError} when the address is not one of this machine
 */
async function assertOwnAddress(address: string | null): Promise<void> {
  if (address === null) return
  const probe = createServer()
  try {
    await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, address, resolve))
  } catch (error) {
    const problem = `is not an address of this machine (${errorCodeOf(error) ?? 'unknown error'})`
    throw new ConfigError([{ variable: 'SOURCE_ADDRESS', problem }])
  } finally {
    probe.close()
  }
}

/** Problems that only the accounts and the role show: each account may have a schedule, and a role may need a database. */
function problemsOf({ accounts, config }: Context, role: FleetRole | null): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  if (role !== null && role !== 'both' && config.databaseUrl === null) {
    problems.push({
      variable: 'DATABASE_URL',
      problem: `is required for --role ${role}: all processes of a fleet use one database`,
    })
  }
  const { onStart, fullSync } = config.schedule
  const runsWithoutSchedule = onStart || fullSync !== null
  if (role !== 'worker' && !runsWithoutSchedule && accounts.every(({ schedule }) => schedule === null)) {
    const problem =
      'and FULL_SYNC_SCHEDULE are off, SYNC_ON_START=false, and no account has a schedule: nothing would ever run'
    problems.push({ variable: 'SYNC_SCHEDULE', problem })
  }
  return problems
}

/** Runs the service until the signal aborts. The service of one account also ends when the accounts change. */
async function serve(
  context: Context,
  database: ServiceDatabase,
  liveAccounts: LiveAccounts,
  role: FleetRole | null,
): Promise<void> {
  const { log, signal } = context
  const { accounts } = liveAccounts
  if (role !== null || accounts.length > 1) {
    // Loaded here, because only fleets need the queue.
    const { startFleet } = await import('../fleet/fleet.js')
    await using _fleet = await startFleet(context, database, liveAccounts, role ?? 'both')
    if (!signal.aborted) await once(signal, 'abort')
    log.info('service stopping')
    return
  }
  await using _service = await startService(forOnlyAccount({ ...context, accounts }), database)
  await untilChanged(liveAccounts, accounts, signal)
  log.info(signal.aborted ? 'service stopping' : 'service restarts with the new accounts')
}

/** Waits until the accounts differ from these, or the signal aborts. */
function untilChanged(
  liveAccounts: LiveAccounts,
  accounts: LiveAccounts['accounts'],
  signal: AbortSignal,
): Promise<void> {
  const before = JSON.stringify(accounts)
  return new Promise((resolve) => {
    const check = () => {
      if (!signal.aborted && JSON.stringify(liveAccounts.accounts) === before) return
      stopListening()
      resolve()
    }
    const stopListening = liveAccounts.onChange(check)
    signal.addEventListener('abort', check, { once: true })
    // The accounts may have changed while the service was starting.
    check()
  })
}
