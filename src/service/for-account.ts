import type { Account } from '../config/accounts.js'
import type { Config } from '../config/config.js'
import { UsageError } from '../config/errors.js'
import { someNames } from './choose-accounts.js'
import type { CommandContext } from './command.js'

/** The context of one account: its key, URL, allowance and schedule stand where those of the environment stood. */
export function forAccount(context: CommandContext<string | null>, account: Account): CommandContext {
  const { config } = context
  const { name, apiKey, keyOrigin, apiUrl, pagesPerRun, schedule } = account
  const own: Config = {
    ...config,
    spidra: Object.freeze({ ...config.spidra, apiKey, keyOrigin, apiUrl }),
    schedule: Object.freeze({ ...config.schedule, sync: schedule }),
    pagesPerRun,
  }
  return { ...context, config: Object.freeze(own), account: name, accounts: [account] }
}

/**
 * The context of the account that there is, for a command that acts on one.
 *
 * @throws {UsageError} where there are several
 */
export function forOnlyAccount(context: CommandContext<string | null>): CommandContext {
  const [account, ...others] = context.accounts
  if (account === undefined || others.length > 0) {
    throw new UsageError(`Name one account with --account: ${someNames(context.accounts)}.`)
  }
  return forAccount(context, account)
}
