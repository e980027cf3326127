import type { ListSource } from '../config/accounts.js'
import { type Database, hasTable } from './client.js'

/** An account for which a run has begun, and the source from which its jobs were last read. */
export interface StoredAccount {
  readonly account: string
  readonly apiUrl: string | null
  /** Null: no run has begun since the version that saves it. */
  readonly fingerprint: string | null
}

/** Lists the stored accounts by name. A database without our tables has none; an older database has no sources. */
export async function listStoredAccounts(db: Database): Promise<readonly StoredAccount[]> {
  if (!(await hasTable(db, 'spidra.sync_state'))) return []
  // Raw SQL: the columns are read by way of JSON, because a database that is not up to date lacks them.
  return db.$queryRaw<StoredAccount[]>`
    SELECT s.account, to_jsonb(s) ->> 'api_url' AS "apiUrl", to_jsonb(s) ->> 'source_fingerprint' AS fingerprint
    FROM spidra.sync_state s ORDER BY s.account`
}

/** Finds the account, and the one that was last read from the same source, among the stored accounts. */
export async function findStoredAccounts(
  db: Database,
  account: string,
  { fingerprint }: Pick<ListSource, 'fingerprint'>,
): Promise<readonly StoredAccount[]> {
  const states = await db.syncState.findMany({
    where: { OR: [{ account }, { sourceFingerprint: fingerprint }] },
    select: { account: true, apiUrl: true, sourceFingerprint: true },
  })
  return states.map(({ sourceFingerprint, ...state }) => ({ ...state, fingerprint: sourceFingerprint }))
}

/** Saves the source of the account's jobs. Returns false, and saves nothing, where another account has that source. */
export async function saveListSource(
  db: Database,
  account: string,
  { apiUrl, fingerprint }: ListSource,
): Promise<boolean> {
  // Raw SQL: the condition reads the rows of other accounts.
  const saved = await db.$executeRaw`
    UPDATE spidra.sync_state SET api_url = ${apiUrl}, source_fingerprint = ${fingerprint}
    WHERE account = ${account} AND NOT EXISTS (
      SELECT FROM spidra.sync_state other WHERE other.source_fingerprint = ${fingerprint} AND other.account <> ${account})`
  return saved > 0
}

/**
 * Finds the account for which most of the uuids are stored as live jobs; null where none is stored. `preferred` is returned
 * where one of them is stored for it.
 */
export async function ownerOf(db: Database, uuids: readonly string[], preferred: string): Promise<string | null> {
  const owners = await db.batchJob.groupBy({
    by: ['account'],
    where: { uuid: { in: [...uuids] }, removedAt: null },
    orderBy: { _count: { account: 'desc' } },
  })
  const owner = owners.find(({ account }) => account === preferred) ?? owners[0]
  return owner?.account ?? null
}

/** Whether any job is stored, of whatever account. */
export async function hasJobs(db: Database): Promise<boolean> {
  return (await db.batchJob.findFirst({ select: { uuid: true } })) !== null
}
