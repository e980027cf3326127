import { type Account, DEFAULT_ACCOUNT } from '../accounts.js'
import { ConfigError } from '../config-error.js'
import { UsageError } from '../usage-error.js'

/**
 * Which accounts a command acts on: `configured` ones, all or the named one; `stored`, where a name may be known to the
 * database alone; `usable`, where faults give none, because the command tells them itself; or `none`.
 */
export type AccountRule = 'configured' | 'stored' | 'usable' | 'none'

export interface ChosenAccounts {
  readonly accounts: readonly Account[]
  readonly warnings: readonly string[]
}

/** So many names are listed in a message. */
const MAX_NAMES = 20

/**
 * The accounts to act on.
 *
 * @param named by `--account`; null for all
 * @param read is given the name that the account of `SPIDRA_API_KEY` has where it is the only one
 * @throws {UsageError} for a name that is not configured, if it must be
 */
export function chooseAccounts(
  rule: AccountRule,
  named: string | null,
  read: (name: string) => ChosenAccounts,
): ChosenAccounts {
  if (rule === 'none') return NONE
  const all = rule === 'usable' ? readUsable(() => read(named ?? DEFAULT_ACCOUNT)) : read(named ?? DEFAULT_ACCOUNT)
  if (named === null || all.accounts.length === 0) return all
  const accounts = all.accounts.filter(({ name }) => name === named)
  if (accounts.length === 0 && rule !== 'stored')
    throw unknownAccount(
      named,
      all.accounts.map(({ name }) => name),
    )
  return { ...all, accounts }
}

/** @param known names that could have been meant */
export function unknownAccount(named: string, known: readonly string[]): UsageError {
  return new UsageError(
    `There is no account "${named}". ${known.length === 0 ? 'None is known.' : `Known: ${toList(known)}.`}`,
  )
}

/** The names for a message. */
export function someNames(accounts: readonly Account[]): string {
  return toList(accounts.map(({ name }) => name))
}

function toList(names: readonly string[]): string {
  const more = names.length > MAX_NAMES ? [`${names.length - MAX_NAMES} more`] : []
  return [...names.slice(0, MAX_NAMES), ...more].join(', ')
}

const NONE: ChosenAccounts = { accounts: [], warnings: [] }

function readUsable(read: () => ChosenAccounts): ChosenAccounts {
  try {
    return read()
  } catch (error) {
    if (error instanceof ConfigError) return NONE
    throw error
  }
}
