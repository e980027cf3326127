import { isIP, isIPv4 } from 'node:net'
import { createTask, validate } from 'node-cron'
import { z } from 'zod'
import { problemOfDatabaseUrl, toPlainDatabaseUrl } from './database-url.js'

/** Environment variables as a process gets them. */
export type Environment = Readonly<Record<string, string | undefined>>

/** What decides how strictly the variables are checked. */
export interface Rules {
  readonly needsKey: boolean
  readonly production: boolean
  /** Whether `http:` is allowed to a host that is not loopback. */
  readonly allowHttp: boolean
  readonly isTerminal: boolean
}

/**
 * The schema of every variable: text in, typed value out. `setVariables` leaves out the empty ones beforehand.
 * The messages are ours, because zod's own do not say what to do, and none of them shows the value.
 */
export function variables(rules: Rules) {
  return z.object({
    SPIDRA_API_KEY: rules.needsKey ? apiKey : optional(apiKey),
    SPIDRA_ACCOUNTS_FILE: optional(z.string()),
    SPIDRA_API_URL: apiUrl(rules.allowHttp).default('https://api.spidra.io/api'),
    SPIDRA_AUTH_SCHEME: oneOf(['x-api-key', 'bearer']).default('x-api-key'),
    SPIDRA_API_ALLOW_HTTP: flag.default(false),
    SOURCE_ADDRESS: optional(ipAddress),
    DATABASE_URL: rules.production ? databaseUrl : optional(databaseUrl),
    SYNC_SCHEDULE: schedule.default('*/5 * * * *'),
    FULL_SYNC_SCHEDULE: schedule.default('0 3 * * *'),
    SCHEDULE_TIMEZONE: z.string().refine(isTimeZone, 'must be a time zone such as Etc/UTC').default('Etc/UTC'),
    SYNC_ON_START: flag.default(true),
    PAGES_PER_RUN: pagesPerRun.default(20),
    SYNC_RESULTS: resultsMode.default(null),
    RESULTS_PER_RUN: wholeNumber(1, 1_000).default(50),
    RUNS_IN_PARALLEL: wholeNumber(1, 64).default(4),
    REQUEST_TIMEOUT_MS: wholeNumber(100, 600_000).default(30_000),
    REQUEST_RETRIES: wholeNumber(0, 100).default(5),
    RETRY_BASE_MS: wholeNumber(1, 60_000).default(500),
    RATE_LIMIT_REQUESTS: wholeNumberOrOff(1, 1_000_000).default(300),
    RATE_LIMIT_WINDOW_SECONDS: wholeNumber(1, 86_400).default(900),
    RATE_LIMIT_RESERVE: share(0.95).default(0.5),
    HISTORY_DAYS: wholeNumber(1, 36_500).default(400),
    STUCK_AFTER_HOURS: wholeNumber(1, 8_760).default(6),
    ALERT_WEBHOOK_URL: optional(httpUrl),
    ALERT_AFTER_FAILURES: wholeNumber(1, 1_000).default(3),
    ALERT_STALE_MINUTES: wholeNumber(1, 525_600).default(60),
    HTTP_HOST: z.string().refine(isHost, 'must be a host name or an IP address, without port').default('127.0.0.1'),
    HTTP_PORT: wholeNumberOrOff(0, 65_535).default(8080),
    DASHBOARD_PASSWORD: optional(z.string()),
    LOG_LEVEL: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
    LOG_FORMAT: oneOf(['json', 'pretty']).default(rules.isTerminal ? 'pretty' : 'json'),
    SHUTDOWN_GRACE_MS: wholeNumber(0, 600_000).default(10_000),
    HTTPS_PROXY: optional(httpUrl),
    NO_PROXY: optional(z.string()),
    // Read by Node itself and by the tests. Listed here, so that every variable stands in one place.
    NODE_EXTRA_CA_CERTS: optional(z.string()),
    TEST_DATABASE_URL: optional(z.string()),
  })
}

/** Exported because `SPIDRA_API_ALLOW_HTTP` is read first: it decides how the URLs are checked. */
export const flag = z.stringbool({
  truthy: ['true', '1', 'yes', 'on'],
  falsy: ['false', '0', 'no', 'off'],
  error: 'must be true or false',
})

/** The rules that are exported from here on also apply to the fields of the accounts file. */
export const apiKey = z
  .string({
    error:
      'is required: the API key of your Spidra account, or SPIDRA_ACCOUNTS_FILE for several (`spidra-sync demo` needs none)',
  })
  .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces, because it is sent as a header')

const databaseUrl = z
  .string({ error: 'is required when NODE_ENV=production: postgres://user:password@host:5432/database' })
  .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
  .superRefine((text, context) => {
    const problem = problemOfDatabaseUrl(text)
    if (problem !== null) context.addIssue(problem)
  })
  .transform((text) => toPlainDatabaseUrl(text) ?? '')
  .refine(isUrl, 'must be a URL; characters such as # / ? % in the password must be percent-encoded')

const httpUrl = z
  .string()
  .regex(/^https?:\/\//i, 'must begin with https:// or http://')
  .refine(isUrl, 'must be a URL; special characters in a password must be percent-encoded')

const ipAddress = z.string().refine((text) => isIP(text) !== 0, 'must be an IP address of this machine')

export const schedule = z
  .string()
  .refine((text) => text === 'off' || validate(text), 'must be a cron expression such as */5 * * * *, or off')
  .refine(
    (text) => text === 'off' || !validate(text) || isEverDue(text),
    'must be due on some date; this expression matches none',
  )
  .transform((text) => (text === 'off' ? null : text))

export const pagesPerRun = wholeNumber(1, 1_000_000)

export const resultsMode = oneOf(['off', 'items', 'full']).transform((mode) => (mode === 'off' ? null : mode))

export function apiUrl(allowHttp: boolean) {
  return httpUrl
    .transform((text) => new URL(text))
    .refine((url) => url.username === '' && url.password === '', 'must not carry credentials; use SPIDRA_API_KEY')
    .refine((url) => url.search === '' && url.hash === '', 'must have neither query nor fragment')
    .refine(
      (url) => url.protocol === 'https:' || allowHttp || isLoopbackHost(url.hostname),
      'must be https, or the key would be sent unencrypted; SPIDRA_API_ALLOW_HTTP=true permits http',
    )
    .transform((url) => url.href.replace(/\/+$/, ''))
}

function optional<Schema extends z.ZodType>(schema: Schema) {
  return schema.nullable().default(null)
}

function oneOf<const Words extends readonly string[]>(words: Words) {
  return z.enum(words, { error: `must be one of ${words.join(', ')}` })
}

function wholeNumber(min: number, max: number) {
  return numberOf(/^\d{1,9}$/, min, max, `must be a whole number from ${min} to ${max}`)
}

function wholeNumberOrOff(min: number, max: number) {
  const problem = `must be a whole number from ${min} to ${max}, or off`
  return z.union([z.literal('off').transform(() => null), numberOf(/^\d{1,9}$/, min, max, problem)], { error: problem })
}

function share(max: number) {
  return numberOf(/^\d{0,3}(\.\d{1,9})?$/, 0, max, `must be a number from 0 to ${max}`)
}

/** A number in plain notation. `Number` alone would also accept signs, exponents, hexadecimal and blanks. */
function numberOf(notation: RegExp, min: number, max: number, problem: string) {
  return z
    .string()
    .regex(notation, problem)
    .transform(Number)
    .refine((value) => value >= min && value <= max, problem)
}

function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i.test(text)
}

/** node-cron throws when it finds no tick within 100 years. */
function isEverDue(expression: string): boolean {
  const task = createTask(expression, () => {}, { timezone: 'Etc/UTC' })
  try {
    return task.getNextRuns(1).length > 0
  } catch {
    return false
  } finally {
    task.destroy()
  }
}

function isTimeZone(text: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

/** Whether the text is a URL whose password can be decoded, which node-postgres does. */
function isUrl(text: string): boolean {
  try {
    return decodeURIComponent(new URL(text).password) !== null
  } catch {
    return false
  }
}

/**
 * Whether `host` can only be this machine: `localhost`, 127.0.0.0/8 or `::1`, brackets allowed. Names are not resolved, so
 * any other name counts as foreign.
 */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase()
  return name === 'localhost' || name === '::1' || name === '[::1]' || (isIPv4(name) && name.startsWith('127.'))
}

/** Variables with two spellings. The lower-case one takes precedence, as in curl and undici. */
const PROXY_NAMES: ReadonlySet<string> = new Set(['HTTPS_PROXY', 'NO_PROXY'])

/** Picks the variables among `names` that are set; an empty one counts as unset. */
export function setVariables(env: Environment, names: readonly string[]): Environment {
  const read = (name: string) => (PROXY_NAMES.has(name) && env[name.toLowerCase()]) || env[name]
  return Object.fromEntries(names.map((name) => [name, read(name)]).filter(([, value]) => value))
}

/** A variable with such a prefix was most likely meant for spidra-sync. */
const PREFIXES = ['SPIDRA_', 'SYNC_', 'RATE_LIMIT_', 'ALERT_', 'DASHBOARD_']

/** Variables that Kubernetes sets in every container beside a service named `spidra-sync` or `sync`. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_\w+)?)$/

/**
 * Warns of each variable that looks like ours and is unknown: a misspelt name would be ignored silently.
 *
 * @param others further known variables, with any names
 */
export function warningsAbout(env: Environment, names: readonly string[], others: readonly string[] = []): string[] {
  return Object.keys(env)
    .filter((name) => !names.includes(name) && !others.includes(name) && !SERVICE_LINK.test(name))
    .flatMap((name) => {
      const prefix = PREFIXES.find((candidate) => name.startsWith(candidate))
      if (prefix === undefined) return []
      const known = names.filter((candidate) => candidate.startsWith(prefix))
      return [`${name} is ignored: spidra-sync has no such variable; with that prefix it knows ${known.join(', ')}`]
    })
}
