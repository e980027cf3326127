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

/** Something that brings the list into a table. */
export interface Subject {
  readonly name: string
  /** Installs what is needed. Null: it can run; else why it cannot, in a few words. */
  prepare(): Promise<string | null>
  /** On an empty database, before it is measured. */
  setUp(database: BenchDatabase, target: Target): Promise<void>
  command(target: Target): Command
  /** Gives `uuid` and `fields`: status, total, completed and failed count, separated by spaces. Null: it stores none. */
  readonly truthSql: string | null
  /** It writes what it was given at the start, so only a first load says something. Default false. */
  readonly loadsOnce?: boolean
}

/** The columns that are compared, by their names in the table. */
export function truthOf(
  table: string,
  [status, total, completed, failed]: readonly [string, string, string, string],
  where = 'true',
): string {
  return `SELECT uuid::text AS uuid, concat_ws(' ', ${status}, ${total}, ${completed}, ${failed}) AS fields FROM ${table} WHERE ${where}`
}
