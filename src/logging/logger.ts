import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'
import { isPrismaError, messageOf } from './error-code.js'
import { formatDuration, isPrintable, toPrintable, toPrintableLines, toSentence, wrapWords } from './printable.js'
import { createSecrets, type Secrets } from './redact.js'

export type { Logger } from 'pino'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** `json` writes one object a line, for programs; `pretty` writes several short lines, for people. */
export type LogFormat = 'json' | 'pretty'

export interface LoggerOptions {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Values that are replaced by `[redacted]` in every line. */
  readonly secrets: readonly string[] | Secrets
  readonly destination: DestinationStream
  /** Whether the pretty format uses colours. Default false. */
  readonly colorize?: boolean
}

/** Headers that carry credentials. Those of a dashboard user are not among the configured secrets. */
const CREDENTIALS = ['x-api-key', 'authorization', 'proxy-authorization', 'cookie']
const CREDENTIAL_PATHS = CREDENTIALS.flatMap((name) => ['', '*', '*.*'].map((parent) => `${parent}["${name}"]`))

/** Creates the log of the process. */
export async function createLogger(options: LoggerOptions): Promise<Logger> {
  const { level, format, secrets, destination, colorize = false } = options
  const { redactJson } = 'redactJson' in secrets ? secrets : createSecrets(secrets)
  const withStack = level === 'debug' || level === 'trace'
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => toErrorFields(error, withStack) },
      redact: { paths: CREDENTIAL_PATHS, censor: '[redacted]' },
      hooks: { streamWrite: (line) => toPrintableLines(redactJson(line)) },
    },
    format === 'pretty' ? await prettyTo(destination, colorize) : destination,
  )
}

/** Keeps type, message and code. pino's own serializer copies every property, which may be a request or a body. */
function toErrorFields(error: unknown, withStack: boolean): unknown {
  if (!(error instanceof Error)) return error
  const message = messageOf(error)
  const isPrismas = isPrismaError(error)
  return {
    type: isPrismas ? 'DatabaseError' : error.name,
    message,
    ...('code' in error && !isPrismas ? { code: error.code } : {}),
    ...(withStack ? { stack: error.stack?.replace(error.message, () => message) } : {}),
  }
}

const INDENT = '    '
const WIDTH = 80

/**
 * Formats each JSON line for people: time, level and message, then the fields, wrapped.
 *
 * It formats in this thread: a worker thread would lose the last lines of a process that ends abruptly.
 */
async function prettyTo(output: DestinationStream, colorize: boolean): Promise<DestinationStream> {
  // Loaded here, because the JSON format does not need it.
  const { default: pretty } = await import('pino-pretty')
  const format = pretty.prettyFactory({
    colorize,
    // UTC, as in the JSON format and in the database.
    translateTime: "UTC:HH:MM:ss'Z'",
    hideObject: true,
    messageFormat: (log, messageKey) => [toSentence(String(log[messageKey] ?? '')), ...detailLines(log)].join('\n'),
  })
  return { write: (line) => output.write(format(line)) }
}

function detailLines({ level: _level, time: _time, msg: _msg, err, ...fields }: Record<string, unknown>): string[] {
  const shown = Object.entries(fields).filter(([, value]) => value !== null)
  return [...indent(shown.map(toField)), ...errorLines(err)]
}

function errorLines(err: unknown): string[] {
  if (typeof err !== 'object' || err === null) return []
  const { type, code, message, stack } = { type: 'Error', code: null, message: '', stack: '', ...err }
  const head = code === null ? `${type}:` : `${type} (${code}):`
  const frames = String(stack).split('\n').slice(1)
  return [...indent(toSentence(`${head} ${message}`).split(' ')), ...frames.map((frame) => INDENT + toSentence(frame))]
}

/** Formats a field as key=value. A duration in milliseconds gets units in place of the suffix of its key. */
function toField([key, value]: [string, unknown]): string {
  if (typeof value !== 'number' || !key.endsWith('Ms')) return `${toPrintable(key)}=${toText(value)}`
  return `${toPrintable(key.slice(0, -2))}=${toText(formatDuration(value / 1000))}`
}

/** Writes a simple string as it is, and everything else as JSON. */
function toText(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"]+$/.test(value) && isPrintable(value)) return value
  return toPrintable(JSON.stringify(value))
}

function indent(words: readonly string[]): string[] {
  return wrapWords(words, WIDTH - INDENT.length).map((line) => INDENT + line)
}
