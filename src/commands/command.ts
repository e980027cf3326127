import type { Config } from '../config.js'
import type { Logger } from '../logger.js'

/** Where a command writes; a terminal has columns and can be rewritten. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
}

/** What the process edge hands to every command. */
export interface CommandContext<Key extends string | null = string> {
  readonly config: Config<Key>
  readonly account: string
  /** Where the embedded Postgres lies. */
  readonly workingDirectory: string
  /** `host:pid`, for the run records. */
  readonly worker: string
  readonly version: string
  readonly log: Logger
  readonly stdout: Output
  readonly stderr: NodeJS.WriteStream
  /** Aborts on the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal
}

/** Exit codes of the contract; a signal gives 128 + n at the process edge. */
export const EXIT_CODES = { complete: 0, failed: 1, usage: 2, partial: 3 } as const
