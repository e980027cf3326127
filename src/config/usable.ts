import { readAccounts, readAccountsFile, variablesNamedIn } from './accounts.js'
import { type Config, loadConfig } from './config.js'
import { stricterMode, toUrl } from './database-url.js'
import { ConfigError, type ConfigProblem } from './errors.js'
import type { Environment } from './variables.js'

/** The usable part of a configuration, for a command that reports problems instead of stopping at them. */
export interface UsableConfig {
  /** A variable with a problem has its default here, and the key is null. The log level is `silent`. */
  readonly config: Config<string | null>
  /** The problems that would stop the service. */
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly string[]
}

/** Reads configuration and accounts as the service does, and leaves out what cannot be used. */
export function loadUsableConfig(env: Environment): UsableConfig {
  const file = readAccountsFile(env)
  const keyVariables = variablesNamedIn(file)
  const problems = problemsOf(() => loadConfig(env, { needs: 'service', keyVariables }))
  let usable: Environment = env
  for (let found = problems; found.length > 0; ) {
    usable = without(usable, new Set(found.map(({ variable }) => variable)))
    found = problemsOf(() => loadConfig(usable, { needs: 'database', keyVariables }))
  }
  const config = loadConfig(usable, { needs: 'database', keyVariables })
  let accountWarnings: readonly string[] = []
  const accountProblems = problemsOf(() => {
    accountWarnings = readAccounts({ config, file, env }).warnings
  })
  return {
    config: { ...config, log: { ...config.log, level: 'silent' }, warnings: [] },
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

/** Removes the variables, and NODE_ENV too: `production` requires further ones. */
function without(env: Environment, variables: ReadonlySet<string>): Environment {
  const isKept = (name: string) => name !== 'NODE_ENV' && !variables.has(name) && !variables.has(name.toUpperCase())
  return Object.fromEntries(Object.entries(env).filter(([name]) => isKept(name)))
}

/** Warns of parameters that node-postgres ignores, or reads in another way than libpq. */
function warningsAboutUrl(text: string): readonly string[] {
  const url = toUrl(text)
  if (url === null) return []
  const mode = stricterMode(url)
  const ignored = ['schema', 'pgbouncer', 'connection_limit'].filter((name) => url.searchParams.has(name))
  return [
    ...(mode === null
      ? []
      : [`DATABASE_URL: sslmode=${mode} is read as verify-full; add uselibpqcompat=true for libpq's meaning`]),
    ...ignored.map((name) => `DATABASE_URL: the parameter ${name} is ignored`),
  ]
}
