import type { LogFormat, LogLevel } from '../logging/logger.js'
import { createSecrets, type Redact } from '../logging/redact.js'
import { ConfigError, type ConfigProblem } from './errors.js'
import { SYNC_SIZES, type SyncSizes, TIMING, type Timing } from './scale.js'
import { secretsAmong } from './secrets.js'
import { type Environment, flag, type Rules, setVariables, variables, warningsAbout } from './variables.js'

/** What is kept of a batch: its items, or the items with their results. */
export type ResultsMode = 'items' | 'full'

/** What a command needs of the configuration: the database; also the key; also a schedule or a run at start. */
export type Needs = 'database' | 'sync' | 'service'

/**
 * The whole configuration, frozen. The loaded one may have no key (null), or several accounts with keys of their own; the
 * configuration of one account has `Key` string.
 */
export interface Config<Key extends string | null = string> {
  readonly spidra: {
    readonly apiKey: Key
    /** Where the key comes from, for the message about a refused key. */
    readonly keyOrigin: string
    /** Without a slash at the end. */
    readonly apiUrl: string
    readonly authScheme: 'x-api-key' | 'bearer'
    /** IP address of this machine that requests are sent from; null for any. */
    readonly sourceAddress: string | null
    readonly requestTimeoutMs: number
    readonly requestRetries: number
    readonly retryBaseMs: number
  }
  /** Null: the only account is the key above. */
  readonly accountsFile: string | null
  /** Null: the embedded Postgres. */
  readonly databaseUrl: string | null
  readonly production: boolean
  /** Cron expressions; null for none. */
  readonly schedule: {
    readonly sync: string | null
    readonly fullSync: string | null
    readonly timezone: string
    readonly onStart: boolean
  }
  readonly pagesPerRun: number
  /** What is kept of each batch; null: nothing. */
  readonly results: ResultsMode | null
  /** Requests of one run for them. */
  readonly resultsPerRun: number
  /** How many accounts may have a run at the same time. */
  readonly runsInParallel: number
  /** The rate limit until the API reports its own; `requests` null for none. `reserve` is a share, 0 to 0.95. */
  readonly rateLimit: { readonly requests: number | null; readonly windowSeconds: number; readonly reserve: number }
  readonly historyDays: number
  readonly stuckAfterHours: number
  readonly alerts: { readonly webhookUrl: string | null; readonly afterFailures: number; readonly staleMinutes: number }
  /** Port null: no HTTP server; 0: any free port. */
  readonly http: {
    readonly host: string
    readonly port: number | null
    readonly dashboardPassword: string | null
  }
  readonly proxy: { readonly url: string | null; readonly except: string | null }
  readonly log: {
    readonly level: LogLevel
    readonly format: LogFormat
  }
  readonly shutdownGraceMs: number
  /** Constants, not variables. Tests scale them. */
  readonly timing: Timing
  readonly sizes: SyncSizes
  /** Sentences about variables whose names look like ours and are unknown. */
  readonly warnings: readonly string[]
  /** Replaces the secrets of the configuration in a text that is stored, sent or shown, also those that a reload added. */
  readonly redact: Redact
}

/** How the configuration is read. */
export interface LoadOptions {
  readonly needs: Needs
  /** Whether the log goes to a terminal, where the default format is pretty. Default false. */
  readonly isTerminal?: boolean
  /** Variables that the accounts file takes keys from. They count as known and as secret. Default none. */
  readonly keyVariables?: readonly string[]
}

/**
 * Reads the configuration from environment variables. An empty variable counts as unset.
 *
 * @throws {ConfigError} with every problem at once
 */
export function loadConfig(env: Environment, options: LoadOptions): Config<string | null> {
  const rules: Rules = {
    needsKey: options.needs !== 'database' && !env.SPIDRA_ACCOUNTS_FILE,
    production: env.NODE_ENV === 'production',
    allowHttp: flag.safeParse(env.SPIDRA_API_ALLOW_HTTP).data === true,
    isTerminal: options.isTerminal ?? false,
  }
  const schema = variables(rules)
  const names = Object.keys(schema.shape)
  const given = setVariables(env, names)
  const parsed = schema.safeParse(given)

  const problems = new Map<string, string>()
  for (const { path, message } of parsed.error?.issues ?? []) {
    // Only the first problem of a variable is reported: the others often follow from it.
    const variable = String(path[0])
    if (!problems.has(variable)) problems.set(variable, message)
  }
  if (options.needs === 'service' && nothingEverRuns(given)) {
    problems.set('SYNC_SCHEDULE', 'and FULL_SYNC_SCHEDULE are off and SYNC_ON_START=false: nothing would ever run')
  }
  if (!parsed.success || problems.size > 0) {
    throw new ConfigError([...problems].map(([variable, problem]): ConfigProblem => ({ variable, problem })))
  }

  const value = parsed.data
  return freeze({
    spidra: {
      apiKey: value.SPIDRA_API_KEY,
      keyOrigin: 'SPIDRA_API_KEY',
      apiUrl: value.SPIDRA_API_URL,
      authScheme: value.SPIDRA_AUTH_SCHEME,
      sourceAddress: value.SOURCE_ADDRESS,
      requestTimeoutMs: value.REQUEST_TIMEOUT_MS,
      requestRetries: value.REQUEST_RETRIES,
      retryBaseMs: value.RETRY_BASE_MS,
    },
    accountsFile: value.SPIDRA_ACCOUNTS_FILE,
    databaseUrl: value.DATABASE_URL,
    production: rules.production,
    schedule: {
      sync: value.SYNC_SCHEDULE,
      fullSync: value.FULL_SYNC_SCHEDULE,
      timezone: value.SCHEDULE_TIMEZONE,
      onStart: value.SYNC_ON_START,
    },
    pagesPerRun: value.PAGES_PER_RUN,
    results: value.SYNC_RESULTS,
    resultsPerRun: value.RESULTS_PER_RUN,
    runsInParallel: value.RUNS_IN_PARALLEL,
    rateLimit: {
      requests: value.RATE_LIMIT_REQUESTS,
      windowSeconds: value.RATE_LIMIT_WINDOW_SECONDS,
      reserve: value.RATE_LIMIT_RESERVE,
    },
    historyDays: value.HISTORY_DAYS,
    stuckAfterHours: value.STUCK_AFTER_HOURS,
    alerts: {
      webhookUrl: value.ALERT_WEBHOOK_URL,
      afterFailures: value.ALERT_AFTER_FAILURES,
      staleMinutes: value.ALERT_STALE_MINUTES,
    },
    http: { host: value.HTTP_HOST, port: value.HTTP_PORT, dashboardPassword: value.DASHBOARD_PASSWORD },
    proxy: { url: value.HTTPS_PROXY, except: value.NO_PROXY },
    log: { level: value.LOG_LEVEL, format: value.LOG_FORMAT },
    shutdownGraceMs: value.SHUTDOWN_GRACE_MS,
    timing: TIMING,
    sizes: SYNC_SIZES,
    warnings: warningsAbout(env, names, options.keyVariables),
    redact: createSecrets(secretsAmong(env, options.keyVariables)).redact,
  })
}

/** Reads the text of the variables, so that the problem is reported together with those of invalid variables. */
function nothingEverRuns(given: Environment): boolean {
  // An account of the file may have a schedule of its own.
  if (given.SPIDRA_ACCOUNTS_FILE) return false
  const onStart = flag.safeParse(given.SYNC_ON_START).data
  return given.SYNC_SCHEDULE === 'off' && given.FULL_SYNC_SCHEDULE === 'off' && onStart === false
}

function freeze<Value extends object>(value: Value): Value {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) freeze(part)
  return Object.freeze(value)
}
