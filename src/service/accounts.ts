import type { Account } from '../config/accounts.js'
import type { Config } from '../config/config.js'
import { UsageError } from '../config/errors.js'
import { type CommandContext, EXIT_CODES, listNames } from './context.js'

/** Creates the context of one account: its key, URL, pages a run, results and schedule replace those of the environment. */
export function forAccount(context: CommandContext<string | null>, account: Account): CommandContext {
  const { config } = context
  const { name, apiKey, keyOrigin, apiUrl, pagesPerRun, results, schedule } = account
  const own: Config = {
    ...config,
    spidra: Object.freeze({ ...config.spidra, apiKey, keyOrigin, apiUrl }),
    schedule: Object.freeze({ ...config.schedule, sync: schedule }),
    pagesPerRun,
    results,
  }
  return { ...context, config: Object.freeze(own), account: name, accounts: [account] }
}

/**
 * Creates the context of the only account, for a command that acts on one.
 *
 * @throws {UsageError} when there are several
 */
export function forOnlyAccount(context: CommandContext<string | null>): CommandContext {
  const [account, ...others] = context.accounts
  if (account === undefined || others.length > 0) {
    throw new UsageError(`Name one account with --account: ${listNames(context.accounts.map(({ name }) => name))}.`)
  }
  return forAccount(context, account)
}

/**
 * The names of the accounts that a command shows from the database. `--account` may name one that is stored and not
 * configured.
 */
export function accountsToShow({ accounts, account }: CommandContext<string | null>): readonly [string, ...string[]] {
  const [first, ...others] = accounts.map(({ name }) => name)
  return first === undefined ? [account] : [first, ...others]
}

/** Exit codes from best to worst. A command over several accounts ends with the worst. */
const FROM_BEST_TO_WORST: readonly number[] = [EXIT_CODES.complete, EXIT_CODES.partial, EXIT_CODES.failed]

/**
 * Acts on every account, one after the other, and returns the worst exit code. With several accounts, each gets a heading,
 * and one that throws is logged, counts as failed and does not stop the others. The signal stops all.
 *
 * @param options `isHeaded` false where programs read the output
 */
export async function eachAccount(
  context: CommandContext<string | null>,
  { isHeaded }: { readonly isHeaded: boolean },
  act: (context: CommandContext) => Promise<number>,
): Promise<number> {
  const { accounts, signal, log, stdout } = context
  const [only] = accounts
  if (only !== undefined && accounts.length === 1) return act(forAccount(context, only))
  let worst: number = EXIT_CODES.complete
  for (const [index, account] of accounts.entries()) {
    if (isHeaded) stdout.write(toHeading(account.name, index))
    const exitCode = await act(forAccount(context, account)).catch((err: unknown) => {
      signal.throwIfAborted()
      log.error({ account: account.name, err }, 'account failed')
      return EXIT_CODES.failed
    })
    if (signal.aborted) return exitCode
    if (FROM_BEST_TO_WORST.indexOf(exitCode) > FROM_BEST_TO_WORST.indexOf(worst)) worst = exitCode
  }
  return worst
}

/** The line above the output of an account, after an empty line unless it is the first. */
export function toHeading(name: string, index: number): string {
  return `${index === 0 ? '' : '\n'}== ${name} ==\n`
}
