import type { ListSource } from '../config/accounts.js'
import type { Database } from './client.js'

/** An account that a run has ever begun for, and where its jobs were last read from. */
export interface StoredAccount {
  readonly account: string
  readonly apiUrl: string | null
  /** Null: no run of a version that notes it has begun. */
  readonly fingerprint: string | null
}

/** The stored accounts, by name. A database without our tables has none, and an older one no sources. */
export async function listStoredAccounts(db: Database): Promise<readonly StoredAccount[]> {
  const [found] = await db.$queryRaw<{ isMigrated: boolean }[]>`
    SELECT to_regclass('spidra.sync_state') IS NOT NULL AS "isMigrated"`
  if (found?.isMigrated !== true) return []
  // By way of JSON, because a database that is not up to date lacks the columns.
  return db.$queryRaw<StoredAccount[]>`
    SELECT s.account, to_jsonb(s) ->> 'api_url' AS "apiUrl", to_jsonb(s) ->> 'source_fingerprint' AS fingerprint
    FROM spidra.sync_state s ORDER BY s.account`
}

/** The account, and the one that was last read from the same source, of those that are stored. */
export async function findStoredAccounts(
  db: Database,
  account: string,
  { fingerprint }: Pick<ListSource, 'fingerprint'>,
): Promise<readonly StoredAccount[]> {
  return db.$queryRaw<StoredAccount[]>`
    SELECT s.account, s.api_url AS "apiUrl", s.source_fingerprint AS fingerprint FROM spidra.sync_state s
    WHERE s.account = ${account} OR s.source_fingerprint = ${fingerprint}`
}

/** Notes where the jobs of the account are read from. Returns false, and notes nothing, where that is another account's. */
export async function saveListSource(
  db: Database,
  account: string,
  { apiUrl, fingerprint }: ListSource,
): Promise<boolean> {
  const saved = await db.$executeRaw`
    UPDATE spidra.sync_state SET api_url = ${apiUrl}, source_fingerprint = ${fingerprint}
    WHERE account = ${account} AND NOT EXISTS (
      SELECT FROM spidra.sync_state other WHERE other.source_fingerprint = ${fingerprint} AND other.account <> ${account})`
  return saved > 0
}

/** The account that most of the uuids are stored for, as live jobs; null where none is stored. `preferred` wins with one. */
export async function ownerOf(db: Database, uuids: readonly string[], preferred: string): Promise<string | null> {
  const [owner] = await db.$queryRaw<{ account: string }[]>`
    SELECT b.account FROM spidra.batch_jobs b WHERE b.uuid = ANY(${uuids}::uuid[]) AND b.removed_at IS NULL
    GROUP BY b.account ORDER BY b.account = ${preferred} DESC, count(*) DESC LIMIT 1`
  return owner?.account ?? null
}

/** Whether any job is stored, whatever its account. */
export async function hasJobs(db: Database): Promise<boolean> {
  const rows = await db.$queryRaw<unknown[]>`SELECT FROM spidra.batch_jobs LIMIT 1`
  return rows.length > 0
}
