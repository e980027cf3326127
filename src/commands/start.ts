import { once } from 'node:events'
import type { Account } from '../accounts.js'
import { ConfigError } from '../config-error.js'
import { migrate } from '../db/migrate.js'
import { type CommandContext, EXIT_CODES } from './command.js'
import type { FleetRole } from './fleet.js'
import { forOnlyAccount } from './for-account.js'
import { type OpenDatabase, openConfiguredDatabase } from './open-database.js'
import { startService } from './service.js'

type Context = CommandContext<string | null>

/**
 * `spidra-sync start`: the service; runs until the signal aborts.
 *
 * @param role makes the process a part of a fleet; null: it becomes one only where there are several accounts.
 */
export async function runStartCommand(context: Context, role: FleetRole | null): Promise<number> {
  const { config, log, signal, version } = context
  assertEverRuns(context, role)
  log.info({ version, account: context.account, accounts: context.accounts.length }, 'service starting')
  const database = await openConfiguredDatabase(config, context)
  try {
    await migrate(database.databaseUrl, { log, signal })
    let accounts = context.accounts
    while (!signal.aborted) accounts = await serve({ ...context, accounts }, database, role)
    log.info('service stopping')
  } finally {
    await database.close()
  }
  log.info('service stopped')
  return EXIT_CODES.complete
}

/** What the configuration alone cannot know: accounts of a file may have schedules of their own. */
function assertEverRuns({ accounts, config: { schedule } }: Context, role: FleetRole | null): void {
  if (role === 'worker' || schedule.onStart || schedule.fullSync !== null) return
  if (accounts.some((account) => account.schedule !== null)) return
  const problem =
    'and FULL_SYNC_SCHEDULE are off, SYNC_ON_START=false, and no account has a schedule: nothing would ever run'
  throw new ConfigError([{ variable: 'SYNC_SCHEDULE', problem }])
}

/** Serves until the signal aborts, or one account has become something else; gives the accounts to go on with. */
async function serve(context: Context, database: OpenDatabase, role: FleetRole | null): Promise<readonly Account[]> {
  const { accounts, signal } = context
  if (role !== null || accounts.length > 1) {
    // The queue is loaded by fleets only.
    const { startFleet } = await import('./fleet.js')
    await using _fleet = await startFleet(context, database, role ?? 'both')
    if (!signal.aborted) await once(signal, 'abort')
    return accounts
  }
  await using _service = await startService(forOnlyAccount(context), database)
  // Awaited here: the service must not be disposed of before.
  return await otherAccounts(context)
}

/** Resolves with other accounts when a SIGHUP brings them, with the same ones when the signal aborts. */
async function otherAccounts(context: Context): Promise<readonly Account[]> {
  const { accounts, config, log, signal } = context
  return new Promise((resolve) => {
    const stopListening = config.accountsFile === null ? () => {} : context.onHangup(reload)
    function end(next: readonly Account[]): void {
      stopListening()
      resolve(next)
    }
    function reload(): void {
      try {
        const next = context.reloadAccounts()
        log.info({ accounts: next.length }, 'accounts read again')
        if (JSON.stringify(next) !== JSON.stringify(accounts)) end(next)
      } catch (err) {
        log.error({ err }, 'accounts file cannot be used: the accounts stay as they were')
      }
    }
    if (signal.aborted) end(accounts)
    signal.addEventListener('abort', () => end(accounts), { once: true })
  })
}
