import type { BenchDatabase } from '../postgres.js'
import type { Command } from '../process-usage.js'

/** The API that a subject reads and the database that it writes. */
export interface Target {
  readonly apiUrl: string
  readonly apiKey: string
  readonly databaseUrl: string
  readonly concurrency: number
  /** Whether the simulator limits requests. */
  readonly isLimited: boolean
  /** Durations of the subject are divided by this. */
  readonly speed: number
  /** Whether the subject does what its documentation says against 429. */
  readonly isRemedied: boolean
}

/** The environment of a subject that is not ours. */
export function environmentOf({ apiUrl, apiKey, databaseUrl, speed, isRemedied }: Target): Record<string, string> {
  return {
    SPIDRA_API_URL: apiUrl,
    SPIDRA_API_KEY: apiKey,
    DATABASE_URL: databaseUrl,
    BENCH_SPEED: String(speed),
    BENCH_REMEDY: isRemedied ? '1' : '0',
  }
}

/** What a subject is: spidra-sync, a script as people write it first, an installable alternative, or a theoretical limit. */
export type Role = 'ours' | 'script' | 'peer' | 'limit'

/** A program that copies the list into a table. */
export interface Subject {
  readonly name: string
  readonly role: Role
  /** Its packages, with their versions. */
  readonly versions: string
  /** Installs what the subject needs. Returns null if it can run, else the reason why not in a few words. */
  prepare(): Promise<string | null>
  /** Prepares the empty database before the measurement. */
  setUp(database: BenchDatabase, target: Target): Promise<void>
  command(target: Target): Command
  /** The subject's incremental run; undefined: it has none. */
  incremental?(target: Target): Command
  /** The table that it fills, by its SQL name. Null: it stores nothing. */
  readonly table: string | null
  /** Selects `uuid` and `fields`: status, total, completed and failed count, separated by spaces, and ends in a WHERE clause. Null: it stores nothing. */
  readonly truthSql: string | null
}

/** Composes the `truthSql` of a table from the names of its columns. */
export function truthOf(
  table: string,
  [status, total, completed, failed]: readonly [string, string, string, string],
  where = 'true',
): string {
  return `SELECT uuid::text AS uuid, concat_ws(' ', ${status}, ${total}, ${completed}, ${failed}) AS fields FROM ${table} WHERE ${where}`
}
