import type { Database } from './client.js'

/** The accounts that a run has ever begun for, by name. A database without our tables knows none. */
export async function listStoredAccounts(db: Database): Promise<readonly string[]> {
  const [found] = await db.$queryRaw<{ isMigrated: boolean }[]>`
    SELECT to_regclass('spidra.sync_state') IS NOT NULL AS "isMigrated"`
  if (found?.isMigrated !== true) return []
  const states = await db.syncState.findMany({ select: { account: true }, orderBy: { account: 'asc' } })
  return states.map(({ account }) => account)
}
