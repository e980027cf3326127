import type { Account, AccountOptions } from './account.js'
import { createKeyedAccounts, type KeyedAccount } from './keyed-accounts.js'
import { drawBetween, TRAIT, toIdentity, toSeedKey } from './random.js'

/** Servers behind one URL: the first is up to date, all others are as far behind. */
export interface BackendOptions {
  readonly count: number
  /** In milliseconds of the simulator's clock. */
  readonly lagMs: number
}

export interface Backends {
  /** The accounts, up to date. */
  readonly accounts: readonly [KeyedAccount, ...KeyedAccount[]]
  /** Draws the backend that answers a request, each with the same chance, and gives the account as it shows it. */
  draw(from: KeyedAccount, request: number): { readonly backend: number; readonly account: Account }
}

/**
 * Creates accounts (see `createKeyedAccounts`) on several backends. One that lags shows what the clock does to an account,
 * as of the lag ago and never from before the epoch. It does not show what is done to an account by hand.
 */
export function createBackends(
  key: string,
  count: number,
  options: AccountOptions & { readonly backends?: BackendOptions },
): Backends {
  const { seed = 1, now = Date.now, backends = { count: 1, lagMs: 0 } } = options
  const seedKey = toSeedKey(seed)
  const epoch = options.epoch ?? now()
  const accounts = createKeyedAccounts(key, count, { ...options, epoch })
  // An account depends on nothing but its options and its clock: by a clock that is behind, it is a replica of itself.
  const replicas =
    backends.count === 1
      ? accounts
      : createKeyedAccounts(key, count, { ...options, epoch, now: () => now() - backends.lagMs })

  return {
    accounts,
    draw(from, request) {
      const backend = drawBetween(toIdentity(seedKey, request), TRAIT.backend, 1, backends.count)
      const replica = replicas[from.number - 1] ?? from
      return { backend, account: backend === 1 ? from.account : replica.account }
    },
  }
}
