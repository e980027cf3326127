import type { BenchDatabase } from '../postgres.js'
import type { Command } from '../process-usage.js'

/** What a subject reads and writes. */
export interface Target {
  readonly apiUrl: string
  readonly apiKey: string
  readonly databaseUrl: string
  readonly concurrency: number
  /** Whether the simulator limits requests. */
  readonly isLimited: boolean
}

/** What a subject is measured as: ours, what people write first, what they could install, or what none can beat. */
export type Role = 'ours' | 'script' | 'peer' | 'limit'

/** Something that brings the list into a table. */
export interface Subject {
  readonly name: string
  readonly role: Role
  /** Packages and versions that it runs on. */
  readonly versions: string
  /** Installs what is needed. Null: it can run; else why it cannot, in a few words. */
  prepare(): Promise<string | null>
  /** On an empty database, before it is measured. */
  setUp(database: BenchDatabase, target: Target): Promise<void>
  command(target: Target): Command
  /** The same subject's quicker run between full ones; undefined: it has none. */
  incremental?(target: Target): Command
  /** The table that it fills, as SQL names it. Null: it stores nothing. */
  readonly table: string | null
  /** Gives `uuid` and `fields`: status, total, completed and failed count, separated by spaces. Null: it stores none. */
  readonly truthSql: string | null
}

/** The columns that are compared, by their names in the table. */
export function truthOf(
  table: string,
  [status, total, completed, failed]: readonly [string, string, string, string],
  where = 'true',
): string {
  return `SELECT uuid::text AS uuid, concat_ws(' ', ${status}, ${total}, ${completed}, ${failed}) AS fields FROM ${table} WHERE ${where}`
}
