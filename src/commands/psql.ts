import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants } from 'node:os'
import { toReadOnlyLibpqUrl } from '../config/database-url.js'
import { readPostgresError, toDatabaseError } from '../db/connection-error.js'
import { openReadOnly } from '../db/read-only.js'
import { ensureReaderRole } from '../db/reader-role.js'
import { errorCodeOf } from '../logging/error-code.js'
import { wrapFor } from '../logging/printable.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import { openDatabaseForAccounts } from '../service/database.js'

export interface PsqlFlags {
  /** Whether to print the URL instead of opening psql. */
  readonly url: boolean
  readonly demo: boolean
  /** Passed on to psql. */
  readonly args: readonly string[]
}

/** What psql needs of the process. */
export interface PsqlHost {
  readonly env: Readonly<NodeJS.ProcessEnv>
  /** Writes to standard output without redaction: the URL has the password. */
  writeSecret(text: string): void
  /** Leaves SIGINT to psql: Ctrl-C cancels a query. */
  leaveInterrupts(): void
}

/** `protocol_violation`: poolers refuse the settings of a session with it. */
const REFUSED_SETTINGS = '08P01'

const HOW_TO_INSTALL =
  'psql is not installed: install it (Debian and Ubuntu: apt install postgresql-client; macOS: brew install libpq), or connect to the printed URL with another client.'

/**
 * `spidra-sync psql`: opens psql on the database, in a session that is read-only by default; or prints its URL. Returns the exit
 * code of psql.
 */
export async function runPsqlCommand(
  context: CommandContext<string | null>,
  { url: isUrlAsked, demo, args }: PsqlFlags,
  host: PsqlHost,
): Promise<number> {
  const { stderr, signal, config } = context
  const database = await openDatabaseForAccounts(context, { mustExist: true })
  try {
    const target = toReadOnlyLibpqUrl(await toReaderUrl(context, database.databaseUrl, demo))
    if (isUrlAsked) {
      host.writeSecret(`${target.href}\n`)
      if (config.databaseUrl === null) stderr.write('The embedded Postgres answers only while spidra-sync runs here.\n')
      return EXIT_CODES.complete
    }
    await assertTakesSession(target, signal)
    const exitCode = await runPsql(target, args, { ...host, signal })
    if (exitCode !== null) return exitCode
    stderr.write(wrapFor(stderr, `spidra-sync: ${HOW_TO_INSTALL}\n`))
    host.writeSecret(`${target.href}\n`)
    return EXIT_CODES.failed
  } finally {
    await database.close()
  }
}

/**
 * The URL of a role that may only read: that of a demo, or of the embedded Postgres, whose own role is a superuser. A configured
 * `DATABASE_URL` stays as it is: its role may not be able to create others.
 */
async function toReaderUrl(
  { config, embeddedDirectory }: CommandContext<string | null>,
  databaseUrl: string,
  isDemo: boolean,
): Promise<string> {
  if (!isDemo && config.databaseUrl !== null) return databaseUrl
  const { demoReaderUrl, READER_ROLE, readerUrl } = await import('./demo/setup.js')
  if (isDemo) return demoReaderUrl(embeddedDirectory, databaseUrl)
  // Derived, so that a URL that was given to a BI tool stays valid.
  const secret = `reader of ${new URL(databaseUrl).password}`
  const password = createHash('sha256').update(secret).digest('base64url').slice(0, 24)
  await ensureReaderRole(databaseUrl, READER_ROLE, password)
  return readerUrl(databaseUrl, password)
}

/**
 * Connects once, because psql would ask for a password, and its errors do not say which variable is wrong.
 *
 * @throws {DatabaseError} when the server cannot be reached, or refuses
 */
async function assertTakesSession(target: URL, signal: AbortSignal): Promise<void> {
  // libpq's meaning of `sslmode`.
  const url = new URL(target)
  url.searchParams.set('uselibpqcompat', 'true')
  try {
    await (await openReadOnly(url.href, signal)).close()
  } catch (error) {
    if (readPostgresError(error)?.code === REFUSED_SETTINGS) {
      throw new Error(
        `The pooler at ${target.host} refuses a read-only session: name the server itself in DATABASE_URL, or start psql by hand.`,
        { cause: error },
      )
    }
    throw toDatabaseError(error, url.href) ?? error
  }
}

/**
 * Runs psql on the terminal of this process until it ends, and returns its exit code; null when it is not installed. The password
 * is in its environment, because every user of this machine can read its arguments.
 */
async function runPsql(
  target: URL,
  args: readonly string[],
  { env, leaveInterrupts, signal }: Omit<PsqlHost, 'writeSecret'> & { readonly signal: AbortSignal },
): Promise<number | null> {
  const url = new URL(target)
  const password = decodeURIComponent(url.password) || url.searchParams.get('password')
  url.password = ''
  url.searchParams.delete('password')
  const dbname = url.href.replaceAll('+', '%20')
  const own = { PGAPPNAME: 'spidra-sync psql', ...(password ? { PGPASSWORD: password } : {}) }
  leaveInterrupts()
  const psql = spawn('psql', ['--dbname', dbname, ...args], { stdio: 'inherit', env: { ...env, ...own } })
  const stop = () => psql.kill('SIGTERM')
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await new Promise<number>((resolve, reject) => {
      psql.once('error', reject)
      psql.once('close', (code, name) => resolve(code ?? 128 + constants.signals[name ?? 'SIGTERM']))
    })
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return null
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
