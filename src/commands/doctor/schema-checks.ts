import type { Database } from '../../db/client.js'
import { MigrationError, readMigrationStatus } from '../../db/migrate.js'
import { type Finding, fail, ok, warn } from './check.js'

/** The finding, and whether the tables are those of this version, so that it makes sense to look into them. */
export async function checkMigrations(db: Database): Promise<{ finding: Finding; isCurrent: boolean }> {
  try {
    const { pending, unknown, total } = await readMigrationStatus(db)
    if (pending.length > 0) {
      const mend = 'Run `spidra-sync migrate`; `start` and `sync` also do it by themselves.'
      return { finding: warn(`Not applied yet: ${pending.join(', ')}.`, mend), isCurrent: false }
    }
    if (unknown.length > 0) {
      const mend = 'Update spidra-sync here. It works all the same: migrations only add.'
      return { finding: warn(`A newer version has been here: ${unknown.join(', ')}.`, mend), isCurrent: true }
    }
    return { finding: ok(`All ${total} are applied.`), isCurrent: true }
  } catch (error) {
    // An edited one was applied all the same: the tables are there.
    if (error instanceof MigrationError) return { finding: fail(error.message), isCurrent: error.code === 'edited' }
    throw error
  }
}
