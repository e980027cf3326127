import { hostname } from 'node:os'
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
import { ConfigError } from '../config/errors.js'
import { forgetSecrets, secretsAmong } from '../config/secrets.js'
import { loadUsableConfig } from '../config/usable.js'
import type { Environment } from '../config/variables.js'
import { createLogger } from '../logging/logger.js'
import type { Secrets } from '../logging/redact.js'
import { type AccountRule, chooseAccounts } from './choose-accounts.js'
import type { CommandContext } from './command.js'
import type { StopSignal } from './stop-signal.js'

/** What a command asks of the process. */
export interface ContextNeeds {
  readonly load: (env: Environment, options: Omit<LoadOptions, 'needs'>) => Config<string | null>
  /** Logs belong to the service's standard output, and to standard error where that carries an answer. */
  readonly logsTo: 'stdout' | 'stderr'
  /** On a terminal, say only what is wrong: a progress bar or a text tells the rest. Default false. */
  readonly isQuiet?: boolean
  /** Default `configured`. */
  readonly accounts?: AccountRule
}

/** The process, handed over by its edge. */
export interface Edge {
  readonly host: Pick<NodeJS.Process, 'env' | 'report' | 'stdout' | 'stderr' | 'cwd' | 'pid'>
  readonly stop: StopSignal
  readonly secrets: Secrets
  readonly version: string
  /** Of `--account`; null for all. */
  readonly account: string | null
}

/** Reads environment, `.env` and accounts file, and makes what a command needs of the process. */
export async function createContext(edge: Edge, needs: ContextNeeds): Promise<CommandContext<string | null>> {
  const { host, stop, secrets, version } = edge
  const { logsTo, isQuiet = false, accounts: rule = 'configured' } = needs
  // Kept, because the secrets leave the process's own environment.
  const given = { ...host.env }
  /** Whatever may be wrong with it, its secrets are known from then on. */
  const readSurroundings = () => {
    const env: Environment = { ...readEnvFile('.env'), ...given }
    const file = readAccountsFile(env)
    const keyVariables = variablesNamedIn(file)
    secrets.add([...secretsAmong(env, keyVariables), ...keysIn(file)])
    forgetSecrets(host, keyVariables)
    return { env, file, keyVariables }
  }
  const surroundings = readSurroundings()
  const { env, keyVariables } = surroundings
  const stream = host[logsTo]
  const loaded = orEveryFault(env, () => needs.load(env, { isTerminal: stream.isTTY, keyVariables }))
  const config = Object.freeze({ ...loaded, secrets: secrets.all })
  stop.limit(config.shutdownGraceMs)

  const read = ({ env, file }: { readonly env: Environment; readonly file: AccountsFile | null }) =>
    chooseAccounts(rule, edge.account, {
      hasFile: config.accountsFile !== null,
      read: () => readAccounts({ config, file: config.accountsFile === null ? null : file, env }),
    })
  const { accounts, configured, warnings } = read(surroundings)

  const level = isQuiet && stream.isTTY && !env.LOG_LEVEL ? 'warn' : config.log.level
  // A progress bar may stand on the line.
  const clearLine = isQuiet && stream.isTTY ? '\r\u001b[K' : ''
  const log = await createLogger({
    level,
    format: config.log.format,
    secrets: () => secrets.all,
    destination: { write: (line) => void stream.write(`${clearLine}${line}`) },
    colorize: usesColour(env, stream),
  })
  for (const warning of [...config.warnings, ...warningsAboutFile('.env', keyVariables), ...warnings]) log.warn(warning)

  function reloadAccounts(): readonly Account[] {
    const { accounts, warnings } = read(readSurroundings())
    for (const warning of warnings) log.warn(warning)
    return accounts
  }

  return {
    config,
    account: edge.account ?? (accounts.length === 1 ? accounts[0]?.name : null) ?? DEFAULT_ACCOUNT,
    named: edge.account,
    configured,
    accounts,
    reloadAccounts,
    onHangup: (listener) => stop.onHangup(listener),
    workingDirectory: host.cwd(),
    worker: `${hostname()}:${host.pid}`,
    version,
    log,
    stdout: host.stdout,
    stderr: host.stderr,
    signal: stop.signal,
  }
}

/** Where variables have faults, those of the accounts file are told along with them. */
function orEveryFault<Value>(env: Environment, load: () => Value): Value {
  try {
    return load()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const ofFile = loadUsableConfig(env).problems.filter(({ variable }) => variable.startsWith('SPIDRA_ACCOUNTS_FILE'))
    throw new ConfigError([...error.problems, ...ofFile])
  }
}

function usesColour(env: Environment, stream: NodeJS.WriteStream): boolean {
  return stream.isTTY && !env.NO_COLOR
}
