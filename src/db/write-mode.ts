import type { Database } from './client.js'

/** Whether the database takes no writes: a standby, or one whose owner has set `default_transaction_read_only`. */
export async function isReadOnly(db: Database): Promise<boolean> {
  const [row] = await db.$queryRaw<{ isReadOnly: boolean }[]>`
    SELECT current_setting('transaction_read_only')::boolean AS "isReadOnly"`
  return row?.isReadOnly ?? false
}
