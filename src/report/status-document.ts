import type { Database } from '../db/client.js'
import { readDatabaseTime } from '../db/client.js'
import { type FleetReport, readFleet } from './fleet.js'
import { readStatus, type StatusReport } from './status.js'

/** What `/api/status` and `status --json` say: one shape, however many accounts there are. */
export interface StatusDocument {
  /** Goes up when a field changes its meaning, its type or its place, or goes; new fields may come without. */
  readonly version: 1
  /** In the order of the accounts file. */
  readonly accounts: readonly StatusReport[]
  /** Null where no fleet has ever worked on this database. */
  readonly fleet: FleetReport | null
}

/** Reads the status of these accounts, one after the other: all at once would take the connections of runs and probes. */
export async function readStatusDocument(db: Database, accounts: readonly string[]): Promise<StatusDocument> {
  const reports: StatusReport[] = []
  for (const account of accounts) reports.push(await readStatus(db, { account, now: await readDatabaseTime(db) }))
  return { version: 1, accounts: reports, fleet: await readFleet(db) }
}
