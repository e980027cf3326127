import { UsageError } from '../config/errors.js'
import { grantReader } from '../db/reader-role.js'
import { toPrintable, wrapFor } from '../logging/printable.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import { openDatabaseForAccounts } from '../service/database.js'

/** Postgres truncates longer names. */
const MAX_NAME_BYTES = 63

export interface GrantReaderFlags {
  /** Also lets it read the results of batches. */
  readonly withResults: boolean
  /** One line of JSON instead of text. */
  readonly json: boolean
}

/** `spidra-sync grant-reader <role>`: lets an existing role read the reporting views, and nothing else. Returns the exit code. */
export async function runGrantReaderCommand(
  context: CommandContext<string | null>,
  role: string,
  { withResults, json }: GrantReaderFlags,
): Promise<number> {
  assertRoleName(role)
  const database = await openDatabaseForAccounts(context, { mustExist: true })
  try {
    const rights = await grantReader(database.databaseUrl, role, { withResults })
    const { views, database: name, mayConnect, readsResults, readsTables } = rights
    const lines = [`${role} may read the ${views.length} views of spidra_reporting, and those that later versions add.`]
    if (readsResults && !readsTables) lines.push('It may read the results of batches too, in spidra.batch_results.')
    if (!mayConnect) lines.push(`It may not connect yet: GRANT CONNECT ON DATABASE "${name}" TO "${role}".`)
    if (readsTables) lines.push('It may read the tables in schema spidra too, by other rights that it has.')
    const text = json ? JSON.stringify({ role, ...rights }) : wrapFor(context.stdout, lines.join('\n'))
    context.stdout.write(`${text}\n`)
    return EXIT_CODES.complete
  } finally {
    await database.close()
  }
}

/** @throws {UsageError} when no role can have this name */
function assertRoleName(role: string): void {
  const problem = problemOf(role)
  if (problem !== null) throw new UsageError(`"${toPrintable(role)}" cannot be the name of a role: ${problem}.`)
}

function problemOf(role: string): string | null {
  if (role === '') return 'it is empty'
  if (Buffer.byteLength(role) > MAX_NAME_BYTES) return `it has more than ${MAX_NAME_BYTES} bytes`
  // GRANT treats these as keywords, even quoted: "public" means every role.
  if (role === 'public' || role === 'none') return 'Postgres reserves that word'
  return null
}
