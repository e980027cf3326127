import { readAccounts } from './accounts.js'
import { keysIn, readAccountsFile, variablesNamedIn } from './accounts-file.js'
import { type Config, type LoadOptions, loadConfig } from './config.js'
import { ConfigError, type ConfigProblem } from './errors.js'
import type { Environment } from './names.js'
import { secretsAmong } from './secrets.js'

/** As much of a configuration as can be used, for a command that tells its faults instead of stopping at them. */
export interface UsableConfig {
  /** What has a fault stands at its default, the key at null. Logs nothing and warns of nothing. */
  readonly config: Config<string | null>
  /** What would stop the service. */
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly string[]
}

/** Reads the configuration as the service does, accounts included, and goes on without what cannot be used. */
export function loadUsableConfig(env: Environment, options: Pick<LoadOptions, 'isTerminal'> = {}): UsableConfig {
  const file = readAccountsFile(env)
  const keyVariables = variablesNamedIn(file)
  const read = { ...options, keyVariables }
  const problems = problemsOf(() => loadConfig(env, { needs: 'service', ...read }))
  let usable: Environment = env
  for (let faults = problems; faults.length > 0; ) {
    usable = without(
      usable,
      faults.map(({ variable }) => variable),
    )
    faults = problemsOf(() => loadConfig(usable, { needs: 'database', ...read }))
  }
  const config = loadConfig(usable, { needs: 'database', ...read })
  let accountWarnings: readonly string[] = []
  const accountProblems = problemsOf(() => {
    accountWarnings = readAccounts({ config, file, env }).warnings
  })
  const secrets = [...secretsAmong(env, keyVariables), ...keysIn(file)]
  return {
    config: { ...config, log: { ...config.log, level: 'silent' }, warnings: [], secrets },
    problems: [...problems, ...accountProblems],
    warnings: [...config.warnings, ...accountWarnings, ...warningsAboutUrl(env.DATABASE_URL ?? '')],
  }
}

function problemsOf(load: () => unknown): readonly ConfigProblem[] {
  try {
    load()
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

/** `NODE_ENV=production` demands variables, so it goes too. */
function without(env: Environment, variables: readonly string[]): Environment {
  const gone = new Set([...variables, 'NODE_ENV'])
  return Object.fromEntries(Object.entries(env).filter(([name]) => !gone.has(name) && !gone.has(name.toUpperCase())))
}

/** Parameters that node-postgres reads in another way than libpq, or not at all. */
function warningsAboutUrl(text: string): readonly string[] {
  if (!URL.canParse(text)) return []
  const { searchParams } = new URL(text)
  const mode = searchParams.get('sslmode') ?? ''
  const isStricter = ['prefer', 'require', 'verify-ca'].includes(mode) && searchParams.get('uselibpqcompat') !== 'true'
  const ignored = ['schema', 'pgbouncer', 'connection_limit'].filter((name) => searchParams.has(name))
  return [
    ...(isStricter
      ? [`DATABASE_URL: sslmode=${mode} is read as verify-full; add uselibpqcompat=true for libpq's meaning`]
      : []),
    ...ignored.map((name) => `DATABASE_URL: the parameter ${name} is ignored`),
  ]
}
