import type { Database } from '../../db/client.js'
import { MigrationError, pendingMigrations } from '../../db/migrate.js'
import { readMigrations } from '../../db/migration-files.js'
import { readLedger } from '../../db/migration-ledger.js'
import { type Finding, fail, ok, warn } from './check.js'

/** The finding, and whether the tables are those of this version, so that it makes sense to look into them. */
export async function checkMigrations(db: Database): Promise<{ finding: Finding; isCurrent: boolean }> {
  try {
    const [pending, known, ledger] = await Promise.all([pendingMigrations(db), readMigrations(), readLedger(db)])
    const names = new Set(known.map(({ name }) => name))
    const newer = ledger.map(({ name }) => name).filter((name) => !names.has(name))
    if (pending.length > 0) {
      const mend = 'Run `spidra-sync migrate`; `start` and `sync` also do it by themselves.'
      return { finding: warn(`Not applied yet: ${pending.join(', ')}.`, mend), isCurrent: false }
    }
    if (newer.length > 0) {
      const mend = 'Update spidra-sync here. It works all the same: migrations only add.'
      return { finding: warn(`A newer version has been here: ${newer.join(', ')}.`, mend), isCurrent: true }
    }
    return { finding: ok(`All ${known.length} are applied.`), isCurrent: true }
  } catch (error) {
    // An edited one was applied all the same: the tables are there.
    if (error instanceof MigrationError) return { finding: fail(error.message), isCurrent: error.code === 'edited' }
    throw error
  }
}
