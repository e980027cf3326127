import type { Config } from '../../config/config.js'
import { loadUsableConfig, type UsableConfig } from '../../config/usable.js'
import type { Environment } from '../../config/variables.js'
import { openDatabase } from '../../db/client.js'
import { toDatabaseError } from '../../db/connection-error.js'
import { openReadOnly } from '../../db/read-only.js'
import { messageOf } from '../../logging/error-code.js'
import { forAccount, toHeading } from '../../service/accounts.js'
import { type CommandContext, EXIT_CODES } from '../../service/context.js'
import { assertKnownIfReachable, hasDatabase, openConfiguredDatabase } from '../../service/database.js'
import { checkFreshness, checkLease, checkRejections, checkRuns, checkSource } from './account-checks.js'
import { checkApi, skipApi } from './api-checks.js'
import { type Check, type Finding, fail, ok, skip, toCheckText, toSummary, warn } from './check.js'
import { checkDatabaseClock, checkMigrations, checkRights, checkServer } from './database-checks.js'
import { checkDisk } from './disk-check.js'

interface DoctorOptions {
  /** One line of JSON instead of text. */
  readonly json: boolean
  readonly colour: boolean
  /** As in `process.versions.node`. */
  readonly nodeVersion: string
  /** Whether the database is that of a demo, whose API exists only in its process. */
  readonly isDemo: boolean
}

type Context = CommandContext<string | null>

/** Creates the context of the command, with the configuration that `load` returns. */
type CreateContext = (load: (env: Environment) => Config<string | null>) => Promise<Context>

/** `spidra-sync doctor`: checks everything and changes nothing. Returns the exit code: 1 when a check failed. */
export async function runDoctorCommand(createContext: CreateContext, options: DoctorOptions): Promise<number> {
  let usable = loadUsableConfig({})
  const context = await createContext((env) => {
    usable = loadUsableConfig(env)
    return usable.config
  })
  const { accounts, stdout } = context
  // With an unusable accounts file or DATABASE_URL the name cannot be checked; a finding reports that.
  if (!usable.problems.some(({ variable }) => /^(DATABASE_URL|SPIDRA_ACCOUNTS_FILE)/.test(variable)))
    await assertKnownIfReachable(context)
  const contexts = accounts.length === 0 ? [context] : accounts.map((account) => forAccount(context, account))
  const shown: Check[] = []
  const seen = new Set<string>()
  let isAllWell = true
  for (const [index, one] of contexts.entries()) {
    if (contexts.length > 1 && !options.json) stdout.write(toHeading(one.account, index))
    const checks: Check[] = []
    for await (const check of examine(one, usable, options)) {
      const isRepeated = check.status === 'skip' && checks.at(-1)?.detail === check.detail
      checks.push(check)
      // The checks of machine and database are shown again for the next account only when they differ.
      const finding = JSON.stringify(check)
      if (GENERAL_CHECKS.has(check.name) && seen.has(finding)) continue
      seen.add(finding)
      shown.push(check)
      if (!options.json) stdout.write(toCheckText(isRepeated ? { ...check, detail: 'As above.' } : check, options))
    }
    const isWell = !checks.some(({ status }) => status === 'fail')
    if (options.json) stdout.write(`${JSON.stringify({ account: one.account, isWell, checks })}\n`)
    isAllWell &&= isWell
  }
  if (!options.json) stdout.write(toSummary(shown))
  return isAllWell ? EXIT_CODES.complete : EXIT_CODES.failed
}

/** Makes the checks of an account, and takes the secrets out of them. */
async function* examine(context: Context, usable: UsableConfig, options: DoctorOptions): AsyncGenerator<Check> {
  const { redact } = context.config
  for await (const { name, status, detail, fix } of examineAll(context, usable, options)) {
    yield { name, status, detail: redact(detail), ...(fix === undefined ? {} : { fix: redact(fix) }) }
  }
}

async function* examineAll(
  context: Context,
  usable: UsableConfig,
  { nodeVersion, isDemo }: DoctorOptions,
): AsyncGenerator<Check> {
  const { config, signal } = context
  const isUnusable = (variable: string) => usable.problems.some((problem) => problem.variable === variable)
  const areAccountsUnusable = config.accountsFile !== null && context.accounts.length === 0
  // Runs while the first results are shown. The `await` below handles its error.
  const api = isDemo
    ? Promise.resolve(skipApi('The demo simulates the API in its own process.'))
    : isUnusable('SPIDRA_API_URL')
      ? Promise.resolve(skipApi('SPIDRA_API_URL cannot be used.'))
      : areAccountsUnusable
        ? Promise.resolve(skipApi('SPIDRA_ACCOUNTS_FILE cannot be used.'))
        : checkApi(config, signal)
  api.catch(() => undefined)
  yield { name: 'node', ...checkNode(nodeVersion) }
  yield { name: 'configuration', ...checkConfiguration(usable) }
  const apiChecks = await api
  yield* apiChecks
  if (isUnusable('DATABASE_URL')) yield* skipAll(DATABASE_CHECKS, 'DATABASE_URL is missing or cannot be used.')
  else
    yield* examineDatabase(
      context,
      apiChecks.map(({ detail }) => detail),
    )
}

/** The checks that do not depend on the account. */
const GENERAL_CHECKS: ReadonlySet<string> = new Set([
  ...['node', 'configuration', 'database', 'database clock', 'rights', 'migrations', 'disk'],
])

/** Names in the order of the output. The last ones read the tables. */
const TABLE_CHECKS = ['list source', 'lock', 'runs', 'freshness', 'rejections', 'disk']
const DATABASE_CHECKS = ['database', 'database clock', 'rights', 'migrations', ...TABLE_CHECKS]

function skipAll(names: readonly string[], why: string): readonly Check[] {
  return names.map((name) => ({ name, ...skip(why) }))
}

/** @param said details of the checks before: `runs` does not repeat them */
async function* examineDatabase(context: Context, said: readonly string[]): AsyncGenerator<Check> {
  const { config, signal } = context
  const isEmbedded = config.databaseUrl === null
  if (!(await hasDatabase(context))) {
    yield* skipAll(DATABASE_CHECKS, 'No DATABASE_URL, and no embedded Postgres yet: the first run creates one.')
    return
  }
  const opened = await openBoth(context).catch((error: unknown) => {
    signal.throwIfAborted()
    return toFailure(error, config.databaseUrl)
  })
  if ('status' in opened) {
    yield { name: 'database', ...opened }
    yield* skipAll(DATABASE_CHECKS.slice(1), 'The database cannot be reached.')
    return
  }
  const { connection, db, databaseUrl } = opened
  const check = async (name: string, work: () => Promise<Finding>): Promise<Check> => {
    const finding = await work().catch((error: unknown) => toFailure(error, databaseUrl))
    signal.throwIfAborted()
    return { name, ...finding }
  }
  const { account } = context
  try {
    yield await check('database', () => checkServer(connection, isEmbedded))
    yield await check('database clock', () => checkDatabaseClock(connection))
    yield await check('rights', () => checkRights(connection))
    let isCurrent = false
    yield await check('migrations', async () => {
      const migrations = await checkMigrations(db)
      isCurrent = migrations.isCurrent
      return migrations.finding
    })
    if (!isCurrent) {
      yield* skipAll(TABLE_CHECKS, 'The migrations must be applied first.')
      return
    }
    yield await check('list source', () => checkSource(connection, account, config.spidra))
    yield await check('lock', () => checkLease(connection, account))
    yield await check('runs', () => checkRuns(connection, account, said))
    yield await check('freshness', () =>
      checkFreshness(connection, { account, staleMinutes: config.alerts.staleMinutes }),
    )
    yield await check('rejections', () => checkRejections(connection, account))
    yield await check('disk', () => checkDisk(connection, config.historyDays))
  } finally {
    await opened.close()
  }
}

/** Opens a connection that changes nothing, and the pool that Prisma reads the migrations with. */
async function openBoth(context: Context) {
  if (context.config.databaseUrl !== null) {
    const connection = await openReadOnly(context.config.databaseUrl, context.signal)
    const db = openDatabase(context.config.databaseUrl, { signal: context.signal })
    const close = async () => {
      await connection.close()
      await db.$disconnect()
    }
    return { connection, db, databaseUrl: context.config.databaseUrl, close }
  }
  const { db, databaseUrl, close } = await openConfiguredDatabase(context.config, { ...context, mustExist: true })
  try {
    const connection = await openReadOnly(databaseUrl, context.signal)
    return { connection, db, databaseUrl, close: () => connection.close().then(close) }
  } catch (error) {
    await close()
    throw error
  }
}

function toFailure(error: unknown, databaseUrl: string | null): Finding {
  const failure = databaseUrl === null ? null : toDatabaseError(error, databaseUrl)
  return fail(failure?.message ?? messageOf(error))
}

/** The oldest Node that the libraries support. */
const OLDEST_NODE = [20, 19] as const

/** @param version as in `process.versions.node` */
export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])
  const found = `Node ${version}.`
  return isOld ? fail(found, `spidra-sync needs Node ${OLDEST_NODE.join('.')} or later.`) : ok(found)
}

export function checkConfiguration({ problems, warnings }: UsableConfig): Finding {
  if (problems.length > 0) {
    const texts = problems.map(({ variable, problem }) => `${variable} ${problem}`)
    return fail(`${[...texts, ...warnings].join('. ')}.`, '.env.example explains every variable.')
  }
  if (warnings.length > 0) return warn(`${warnings.join('. ')}.`)
  return ok('Every variable is valid.')
}
