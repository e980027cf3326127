import { hostname } from 'node:os'
import { join } from 'node:path'
import {
  type Account,
  type AccountsFile,
  DEFAULT_ACCOUNT,
  keysIn,
  readAccounts,
  readAccountsFile,
  variablesNamedIn,
} from '../config/accounts.js'
import type { Config, LoadOptions } from '../config/config.js'
import { readEnvFile, warningsAboutFile } from '../config/env-file.js'
import { ConfigError, UsageError } from '../config/errors.js'
import { forgetSecrets, secretsAmong } from '../config/secrets.js'
import { loadUsableConfig } from '../config/usable.js'
import type { Environment } from '../config/variables.js'
import { createLogger, type Logger } from '../logging/logger.js'
import type { TextOutput } from '../logging/printable.js'
import type { Secrets } from '../logging/redact.js'
import type { StopSignal } from './stop-signal.js'

/** Exit codes of the commands. A stop by signal n gives 128 + n, which the process edge adds. */
export const EXIT_CODES = { complete: 0, failed: 1, usage: 2, partial: 3 } as const

/** Where a command writes its answer. */
interface Output extends TextOutput {
  write(text: string): unknown
}

/**
 * What a command gets from the process. `createContext` returns one whose key may be null; `forAccount` makes one for
 * requests, with the key of an account.
 */
export interface CommandContext<Key extends string | null = string> {
  readonly config: Config<Key>
  /** The account to act on, where there is only one. */
  readonly account: string
  /** The value of `--account`; null when it is not given. */
  readonly named: string | null
  /** Names of all configured accounts, also of those that `--account` excludes. */
  readonly configured: readonly string[]
  /** How many of them read the results of batches. */
  readonly readers: number
  /** The accounts to act on: the one that `--account` names, or all. Empty when there is no key and none is needed. */
  readonly accounts: readonly Account[]
  /**
   * Reads the accounts file again, by the same rules. From then on the log hides its keys too.
   *
   * @throws {ConfigError} when the file cannot be used
   * @throws {UsageError} when the account of `--account` is gone
   */
  reloadAccounts(): readonly Account[]
  /** Calls the listener on every SIGHUP, which then does not stop the process. Returns a function that ends this. */
  onHangup(listener: () => void): () => void
  /** The directory of the embedded Postgres, whether it exists or not. */
  readonly embeddedDirectory: string
  /** `host:pid`, for the run records. */
  readonly worker: string
  readonly version: string
  /** How this program is called here, for a command to be copied: `spidra-sync`, or `node dist/cli.js`. */
  readonly self: string
  readonly log: Logger
  readonly stdout: Output
  readonly stderr: NodeJS.WriteStream
  /** Aborts on the first SIGTERM, SIGINT or SIGHUP. */
  readonly signal: AbortSignal
}

/**
 * Which accounts a command acts on. With `--account`, only the named one.
 *
 * - `configured`: the configured accounts.
 * - `stored`: the same, and a name that only the database knows is allowed.
 * - `usable`: the same as `configured`, and none when the accounts file has problems, which the command reports itself.
 * - `none`: no account; the accounts are read only to check the name of `--account`.
 */
type AccountRule = 'configured' | 'stored' | 'usable' | 'none'

/** What a command needs of the process. */
export interface ContextNeeds {
  readonly load: (env: Environment, options: Omit<LoadOptions, 'needs'>) => Config<string | null>
  /** The service logs to standard output. A command that prints its answer there logs to standard error. */
  readonly logsTo: 'stdout' | 'stderr'
  /** Whether a terminal gets warnings and errors only, because a text or a progress bar shows the rest. Default false. */
  readonly isQuiet?: boolean
  /** Default `configured`. */
  readonly accounts?: AccountRule
  /** Chooses the variables that the configuration is read from. Default: all of environment and `.env`. */
  readonly chooseVariables?: (env: Environment) => Environment
  /** One of `EMBEDDED_DIRECTORIES`. Default that of the service. */
  readonly embeddedDirectory?: string
}

/** The directories of the embedded servers, below the working directory. The demos never touch the real database. */
export const EMBEDDED_DIRECTORIES = {
  service: '.spidra-sync',
  demo: join('.spidra-sync', 'demo'),
  demoFleet: join('.spidra-sync', 'demo-fleet'),
} as const

/** The parts of the process that the entry point hands over. */
export interface Edge {
  readonly host: Pick<NodeJS.Process, 'env' | 'report' | 'stdout' | 'stderr' | 'cwd' | 'pid'>
  readonly stop: StopSignal
  readonly secrets: Secrets
  readonly version: string
  readonly self: string
  /** The value of `--account`; null when it is not given. */
  readonly account: string | null
}

/** Reads environment, `.env` and accounts file, opens the log, and creates the context of a command. */
export async function createContext(edge: Edge, needs: ContextNeeds): Promise<CommandContext<string | null>> {
  const { host, stop, secrets, version, self } = edge
  const { logsTo, isQuiet = false, accounts: rule = 'configured', chooseVariables = (env) => env } = needs
  // A copy, because `forgetSecrets` deletes from the environment of the process.
  const given = { ...host.env }
  /** Registers the secrets first, so that they are hidden whatever else is wrong. */
  const readSources = () => {
    const all: Environment = { ...readEnvFile('.env'), ...given }
    secrets.add(secretsAmong(all))
    const env = chooseVariables(all)
    const file = readAccountsFile(env)
    const keyVariables = variablesNamedIn(file)
    secrets.add([...secretsAmong(env, keyVariables), ...keysIn(file)])
    forgetSecrets(host, keyVariables)
    return { env, file, keyVariables }
  }
  const sources = readSources()
  const { env, keyVariables } = sources
  const stream = host[logsTo]
  const loaded = withProblemsOfFile(env, () => needs.load(env, { isTerminal: stream.isTTY, keyVariables }))
  const config = Object.freeze({ ...loaded, redact: secrets.redact })
  stop.limit(config.shutdownGraceMs)

  const choose = ({ env, file }: { readonly env: Environment; readonly file: AccountsFile | null }) =>
    chooseAccounts(rule, edge.account, {
      hasFile: config.accountsFile !== null,
      read: () => readAccounts({ config, file: config.accountsFile === null ? null : file, env }),
    })
  const { accounts, configured, readers, warnings } = choose(sources)

  const level = isQuiet && stream.isTTY && !env.LOG_LEVEL ? 'warn' : config.log.level
  // A progress bar may be on the line.
  const clearLine = isQuiet && stream.isTTY ? '\r\u001b[K' : ''
  const log = await createLogger({
    level,
    format: config.log.format,
    secrets,
    destination: { write: (line) => void stream.write(`${clearLine}${line}`) },
    colorize: stream.isTTY && !env.NO_COLOR,
  })
  for (const warning of [...config.warnings, ...warningsAboutFile('.env', keyVariables), ...warnings]) log.warn(warning)

  return {
    config,
    account: edge.account ?? (accounts.length === 1 ? accounts[0]?.name : null) ?? DEFAULT_ACCOUNT,
    named: edge.account,
    configured,
    readers,
    accounts,
    reloadAccounts() {
      const reloaded = choose(readSources())
      for (const warning of reloaded.warnings) log.warn(warning)
      return reloaded.accounts
    },
    onHangup: (listener) => stop.onHangup(listener),
    embeddedDirectory: join(host.cwd(), needs.embeddedDirectory ?? EMBEDDED_DIRECTORIES.service),
    worker: `${hostname()}:${host.pid}`,
    version,
    self,
    log,
    stdout: host.stdout,
    stderr: host.stderr,
    signal: stop.signal,
  }
}

/** Loads the configuration. If it has problems, the error also lists those of the accounts file. */
function withProblemsOfFile<Value>(env: Environment, load: () => Value): Value {
  try {
    return load()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const ofFile = loadUsableConfig(env).problems.filter(({ variable }) => variable.startsWith('SPIDRA_ACCOUNTS_FILE'))
    throw new ConfigError([...error.problems, ...ofFile])
  }
}

type ReadAccounts = ReturnType<typeof readAccounts>

interface ChosenAccounts extends ReadAccounts {
  /** Names of all configured accounts. */
  readonly configured: readonly string[]
  /** How many of them read the results of batches. */
  readonly readers: number
}

const NO_ACCOUNTS: ChosenAccounts = { accounts: [], configured: [], readers: 0, warnings: [] }

/**
 * Chooses the accounts to act on. Without an accounts file, the key of the environment may belong to a stored account with
 * another name than `default`: then `named` is accepted here, and the database is asked for it later.
 *
 * @param named the value of `--account`; null for all accounts
 * @throws {UsageError} for a name that is not in the accounts file, if the rule requires that
 */
function chooseAccounts(
  rule: AccountRule,
  named: string | null,
  { hasFile, read }: { readonly hasFile: boolean; readonly read: () => ReadAccounts },
): ChosenAccounts {
  if (rule === 'none' && named === null) return NO_ACCOUNTS
  const all = rule === 'usable' || rule === 'none' ? readIfUsable(read) : read()
  const readers = all.accounts.filter(({ results }) => results !== null).length
  const configured = hasFile ? all.accounts.map(({ name }) => name) : [DEFAULT_ACCOUNT]
  if (named === null) return { ...all, configured, readers }
  const accounts = hasFile
    ? all.accounts.filter(({ name }) => name === named)
    : all.accounts.map((account) => Object.freeze({ ...account, name: named }))
  const isRefused = rule === 'configured' || (rule === 'usable' && all.accounts.length > 0)
  if (hasFile && accounts.length === 0 && isRefused) throw unknownAccount(named, configured)
  return { ...all, accounts, configured, readers }
}

function readIfUsable(read: () => ReadAccounts): Pick<ReadAccounts, 'accounts' | 'warnings'> {
  try {
    return read()
  } catch (error) {
    if (error instanceof ConfigError) return NO_ACCOUNTS
    throw error
  }
}

/** The error for an `--account` that does not exist. `known` are the names that it could be. */
export function unknownAccount(named: string, known: readonly string[]): UsageError {
  return new UsageError(
    `There is no account "${named}". ${known.length === 0 ? 'None is known.' : `Known: ${listNames(known)}.`}`,
  )
}

/** Names that a message lists at most. */
const MAX_NAMES = 20

/** Lists account names for a message. */
export function listNames(names: readonly string[]): string {
  const more = names.length > MAX_NAMES ? [`${names.length - MAX_NAMES} more`] : []
  return [...names.slice(0, MAX_NAMES), ...more].join(', ')
}
