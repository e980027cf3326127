import { isDeepStrictEqual } from 'node:util'
import type { Account } from '../config/accounts.js'
import type { CommandContext } from './context.js'

/** The accounts of a running service, which SIGHUP may change. */
export interface LiveAccounts {
  /** As of now. */
  readonly accounts: readonly Account[]
  /** Calls the listener after every change. There is one listener at a time; returns a function that removes it. */
  onChange(listener: (accounts: readonly Account[]) => void): () => void
}

/**
 * Reads the accounts file again on every SIGHUP, from now until the process ends. Without a listener for the signal, a
 * SIGHUP would stop the service, also while it starts. A file with a fault changes nothing.
 */
export function reloadOnHangup(
  context: Pick<CommandContext<string | null>, 'accounts' | 'log' | 'onHangup' | 'reloadAccounts'>,
): LiveAccounts {
  const { log } = context
  let { accounts } = context
  let notify: ((accounts: readonly Account[]) => void) | null = null

  context.onHangup(() => {
    const before = accounts
    try {
      accounts = context.reloadAccounts()
    } catch (err) {
      log.error({ err }, 'accounts file cannot be used: the accounts stay as they were')
      return
    }
    log.info({ accounts: accounts.length, ...compareAccounts(before, accounts) }, 'accounts read again')
    notify?.(accounts)
  })

  return {
    get accounts() {
      return accounts
    },
    onChange(listener) {
      notify = listener
      return () => {
        notify = null
      }
    },
  }
}

/** Names the accounts that were added and removed. It only counts those that changed, since what changed may be a key. */
function compareAccounts(before: readonly Account[], after: readonly Account[]) {
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

/** Accounts that never change. */
export function fixedAccounts(accounts: readonly Account[]): LiveAccounts {
  return { accounts, onChange: () => () => {} }
}
