import { type Account, type AccountOptions, createAccount } from './account.js'

/** An account, and the key that opens it. */
export interface KeyedAccount {
  /** From 1. */
  readonly number: number
  readonly key: string
  readonly account: Account
}

/**
 * Creates accounts with jobs of their own: no two list the same uuid. The first has `key` and the seed given, the
 * n-th `key_n` and the seed n - 1 higher; `items` are listed by the first alone.
 */
export function createKeyedAccounts(
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
