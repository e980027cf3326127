import { type Account, type AccountOptions, createAccount } from './account.js'
import { drawBetween, TRAIT, toIdentity, toSeedKey } from './random.js'

/** Servers behind one URL. The first is up to date, all others lag. */
export interface BackendOptions {
  readonly count: number
  /** How far the others are behind, in milliseconds of the simulator's clock. */
  readonly lagMs: number
}

export interface Backends {
  /** The accounts, up to date. */
  readonly accounts: readonly [KeyedAccount, ...KeyedAccount[]]
  /**
   * Draws the backend that answers a request, each equally likely, and returns the account as that backend shows it.
   */
  draw(from: KeyedAccount, request: number): { readonly backend: number; readonly account: Account }
}

/**
 * Creates accounts (see `createKeyedAccounts`) on several backends. A lagging backend shows an account as it was that
 * long ago, but never before the epoch. It does not show changes made by hand.
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
  // An account depends only on its options and its clock. With a clock that is behind it is a lagging replica.
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

/** An account, and the key that opens it. */
export interface KeyedAccount {
  /** From 1. */
  readonly number: number
  readonly key: string
  readonly account: Account
}

/**
 * Creates accounts that have no uuid in common. The first has `key` and the given seed, the n-th has `key_n` and a seed
 * n - 1 higher. Only the first lists `items`.
 */
function createKeyedAccounts(
  key: string,
  count: number,
  options: AccountOptions,
): readonly [KeyedAccount, ...KeyedAccount[]] {
  const { seed = 1, items = [] } = options
  const create = (number: number): KeyedAccount => ({
    number,
    key: number === 1 ? key : `${key}_${number}`,
    account: createAccount({ ...options, seed: seed + number - 1, items: number === 1 ? items : [] }),
  })
  return [create(1), ...Array.from({ length: count - 1 }, (_, index) => create(index + 2))]
}
