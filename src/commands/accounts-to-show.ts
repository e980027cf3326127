import type { Database } from '../db/client.js'
import { listStoredAccounts } from '../db/stored-accounts.js'
import { unknownAccount } from './choose-accounts.js'
import type { CommandContext } from './command.js'

/**
 * The names of the accounts that a command which only reads the database acts on. With an accounts file, one that is not
 * in it may be named as long as the database knows it.
 *
 * @throws {UsageError} for a name that neither knows
 */
export async function accountsToShow(
  context: CommandContext<string | null>,
  db: Database,
): Promise<readonly [string, ...string[]]> {
  const { accounts, account, config } = context
  const [first, ...others] = accounts.map(({ name }) => name)
  if (first !== undefined) return [first, ...others]
  if (config.accountsFile !== null) {
    const stored = await listStoredAccounts(db)
    if (!stored.includes(account)) throw unknownAccount(account, stored)
  }
  return [account]
}
