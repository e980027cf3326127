import { isIP } from 'node:net'
import { createTask, validate } from 'node-cron'
import { z } from 'zod'
import { toPlainDatabaseUrl } from './database-url.js'
import { isLoopbackHost } from './loopback.js'

/** What decides how strictly a variable is read. */
export interface Rules {
  readonly needsKey: boolean
  readonly production: boolean
  /** Whether `http:` may leave this machine. */
  readonly allowHttp: boolean
  readonly isTerminal: boolean
}

/**
 * Every variable of the contract: text in, typed value out. Empty variables must be left out beforehand.
 * All messages are ours, because zod's own would not say what to do, and none shows the value.
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
    // Read by Node itself and by the tests; here so that the contract stands in one place.
    NODE_EXTRA_CA_CERTS: optional(z.string()),
    TEST_DATABASE_URL: optional(z.string()),
  })
}

/** Also read on its own: it decides how the others are read. */
export const flag = z.stringbool({
  truthy: ['true', '1', 'yes', 'on'],
  falsy: ['false', '0', 'no', 'off'],
  error: 'must be true or false',
})

/** Also the rule for a key of the accounts file, as are those exported below. */
export const apiKey = z
  .string({
    error:
      'is required: the API key of your Spidra account, or SPIDRA_ACCOUNTS_FILE for several (`spidra-sync demo` needs none)',
  })
  .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces, because it is sent as a header')

const databaseUrl = z
  .string({ error: 'is required when NODE_ENV=production: postgres://user:password@host:5432/database' })
  .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
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
  .refine((text) => text === 'off' || !validate(text) || isEverDue(text), 'must be due some day; this date never comes')
  .transform((text) => (text === 'off' ? null : text))

export const pagesPerRun = wholeNumber(1, 1_000_000)

export function apiUrl(allowHttp: boolean) {
  return httpUrl
    .transform((text) => new URL(text))
    .refine((url) => url.username === '' && url.password === '', 'must not carry credentials; use SPIDRA_API_KEY')
    .refine((url) => url.search === '' && url.hash === '', 'must have neither query nor fragment')
    .refine(
      (url) => url.protocol === 'https:' || allowHttp || isLoopbackHost(url.hostname),
      'must be https, or the key would travel in clear; SPIDRA_API_ALLOW_HTTP=true permits http',
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

/** A number in plain notation: no sign, no exponent, no hexadecimal, no blanks, all of which `Number` would take. */
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

/** A URL whose password can also be decoded, as node-postgres will do. */
function isUrl(text: string): boolean {
  try {
    return decodeURIComponent(new URL(text).password) !== null
  } catch {
    return false
  }
}
