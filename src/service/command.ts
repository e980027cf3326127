import type { Account } from '../config/accounts.js'
import type { Config } from '../config/config.js'
import type { Logger } from '../logging/logger.js'

/** Where a command writes; a terminal has columns and can be rewritten. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
}

/**
 * What the process edge hands to every command. As it comes from there its key may be null: a `CommandContext` whose
 * configuration can be used for requests comes from `forAccount` only.
 */
export interface CommandContext<Key extends string | null = string> {
  readonly config: Config<Key>
  /** The account to act on, where there is just one. */
  readonly account: string
  /** What `--account` says; null where it is not given. */
  readonly named: string | null
  /** Names of all configured accounts, whichever of them `--account` leaves out. */
  readonly configured: readonly string[]
  /** Those to act on: the one that `--account` names, or all. Empty where no key is known, and none is needed. */
  readonly accounts: readonly Account[]
  /**
   * Reads the accounts file again, by the same rules; from now on the log hides its keys too. Throws what the start of a
   * command would: `ConfigError`, or `UsageError` where the account of `--account` is gone.
   */
  reloadAccounts(): readonly Account[]
  /** Hears of every SIGHUP, which stops a process in which nobody does. Returns what ends the subscription. */
  onHangup(listener: () => void): () => void
  /** Where the embedded Postgres lies. */
  readonly workingDirectory: string
  /** `host:pid`, for the run records. */
  readonly worker: string
  readonly version: string
  readonly log: Logger
  readonly stdout: Output
  readonly stderr: NodeJS.WriteStream
  /** Aborts on the first SIGTERM, SIGINT or SIGHUP. */
  readonly signal: AbortSignal
}

/** Exit codes of the contract; a signal gives 128 + n at the process edge. */
export const EXIT_CODES = { complete: 0, failed: 1, usage: 2, partial: 3 } as const
