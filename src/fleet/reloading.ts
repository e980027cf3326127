import { isDeepStrictEqual } from 'node:util'
import type { Account } from '../config/accounts.js'
import type { CommandContext } from '../service/context.js'

/** The accounts of a service that runs, which SIGHUP may change. */
export interface Reloading {
  /** As of now. */
  readonly accounts: readonly Account[]
  /** Hears of every change from now on. One listens at a time; returns what ends that. */
  onChange(listener: (accounts: readonly Account[]) => void): () => void
}

/**
 * Reads the accounts file again on every SIGHUP, from now until the process ends: where nobody heard of it, a SIGHUP would
 * stop the service, also while it starts. A file with a fault changes nothing.
 */
export function reloadOnHangup(
  context: Pick<CommandContext<string | null>, 'accounts' | 'log' | 'onHangup' | 'reloadAccounts'>,
): Reloading {
  const { log } = context
  let { accounts } = context
  let tell: ((accounts: readonly Account[]) => void) | null = null

  context.onHangup(() => {
    const before = accounts
    try {
      accounts = context.reloadAccounts()
    } catch (err) {
      log.error({ err }, 'accounts file cannot be used: the accounts stay as they were')
      return
    }
    log.info({ accounts: accounts.length, ...differenceOf(before, accounts) }, 'accounts read again')
    tell?.(accounts)
  })

  return {
    get accounts() {
      return accounts
    },
    onChange(listener) {
      tell = listener
      return () => {
        tell = null
      }
    },
  }
}

/** Names of those that came and went; of those that changed only how many, since what changed may be a key. */
function differenceOf(before: readonly Account[], after: readonly Account[]) {
  const old = new Map(before.map((account) => [account.name, account]))
  const names = new Set(after.map(({ name }) => name))
  return {
    added: after.filter(({ name }) => !old.has(name)).map(({ name }) => name),
    removed: [...old.keys()].filter((name) => !names.has(name)),
    changed: after.filter((account) => {
      const known = old.get(account.name)
      return known !== undefined && !isDeepStrictEqual(known, account)
    }).length,
  }
}

/** Accounts that stay as they are. */
export function fixedAccounts(accounts: readonly Account[]): Reloading {
  return { accounts, onChange: () => () => {} }
}
