import { type Account, DEFAULT_ACCOUNT, type readAccounts } from '../config/accounts.js'
import { ConfigError, UsageError } from '../config/errors.js'

/**
 * Which accounts a command acts on: `configured` ones, all or the named one; `stored`, where a name may be known to the
 * database alone; `usable`, where faults give none, because the command tells them itself; or `none`, which reads them only
 * to check a name.
 */
export type AccountRule = 'configured' | 'stored' | 'usable' | 'none'

export interface ChosenAccounts {
  readonly accounts: readonly Account[]
  /** Names of all configured accounts. */
  readonly configured: readonly string[]
  readonly warnings: readonly string[]
}

/** What is configured. */
type ReadAccounts = ReturnType<typeof readAccounts>

/** So many names are listed in a message. */
const MAX_NAMES = 20

/**
 * The accounts to act on. Where there is no accounts file, the key of the environment may be that of a stored account with
 * another name than `default`: then the database must be asked for the name.
 *
 * @param named by `--account`; null for all
 * @throws {UsageError} for a name that is not in the accounts file, if it must be
 */
export function chooseAccounts(
  rule: AccountRule,
  named: string | null,
  { hasFile, read }: { readonly hasFile: boolean; readonly read: () => ReadAccounts },
): ChosenAccounts {
  if (rule === 'none' && named === null) return NONE
  const all = rule === 'usable' || rule === 'none' ? readUsable(read) : read()
  const configured = hasFile ? all.accounts.map(({ name }) => name) : [DEFAULT_ACCOUNT]
  if (named === null) return { ...all, configured }
  const accounts = hasFile
    ? all.accounts.filter(({ name }) => name === named)
    : all.accounts.map((account) => Object.freeze({ ...account, name: named }))
  const isRefused = rule === 'configured' || (rule === 'usable' && all.accounts.length > 0)
  if (hasFile && accounts.length === 0 && isRefused) throw unknownAccount(named, configured)
  return { ...all, accounts, configured }
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

const NONE: ChosenAccounts = { accounts: [], configured: [], warnings: [] }

function readUsable(read: () => ReadAccounts): ReadAccounts {
  try {
    return read()
  } catch (error) {
    if (error instanceof ConfigError) return NONE
    throw error
  }
}
