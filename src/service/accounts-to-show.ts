import type { CommandContext } from './command.js'

/**
 * The names of the accounts that a command which only reads the database acts on. One that is not configured may be named,
 * as long as the database knows it.
 */
export function accountsToShow({ accounts, account }: CommandContext<string | null>): readonly [string, ...string[]] {
  const [first, ...others] = accounts.map(({ name }) => name)
  return first === undefined ? [account] : [first, ...others]
}
