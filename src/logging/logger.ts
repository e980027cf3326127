import { type DestinationStream, type Logger, destination as openDestination, pino, stdTimeFunctions } from 'pino'
import type { Config } from '../config/config.js'
import { toPrintableLines } from './printable.js'
import { createJsonRedact, type Redact } from './redact.js'

export type { Logger } from 'pino'

export interface LoggerOptions {
  readonly level: Config['log']['level']
  readonly format: Config['log']['format']
  /** Replaced by `[redacted]` wherever they stand in a line. A function where more may become known. */
  readonly secrets: readonly string[] | (() => readonly string[])
  /** Where lines go; standard output by default, written synchronously, so that none is lost at exit. */
  readonly destination?: DestinationStream
  /** Colours in the pretty format. Default false. */
  readonly colorize?: boolean
}

/** Headers that carry credentials, also those of a dashboard user, which are not among the configured secrets. */
const CREDENTIALS = ['x-api-key', 'authorization', 'proxy-authorization', 'cookie']
const CREDENTIAL_PATHS = CREDENTIALS.flatMap((name) => ['', '*', '*.*'].map((parent) => `${parent}["${name}"]`))

/** The process's log: one JSON object a line, or a form for people. */
export async function createLogger(options: LoggerOptions): Promise<Logger> {
  const output = options.destination ?? openDestination({ dest: 1, sync: true })
  const redact = redactAll(options.secrets)
  const withStack = options.level === 'debug' || options.level === 'trace'
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => toErrorFields(error, withStack) },
      redact: { paths: CREDENTIAL_PATHS, censor: '[redacted]' },
      hooks: { streamWrite: (line) => toPrintableLines(redact(line)) },
    },
    options.format === 'pretty' ? await prettyTo(output, options.colorize ?? false) : output,
  )
}

/** Made anew only when the secrets have become others. */
function redactAll(secrets: LoggerOptions['secrets']): Redact {
  if (typeof secrets !== 'function') return createJsonRedact(secrets)
  let known = secrets()
  let redact = createJsonRedact(known)
  return (line) => {
    const now = secrets()
    if (now !== known) redact = createJsonRedact(now)
    known = now
    return redact(line)
  }
}

/** pino's own serializer copies every property of an error, among them requests and bodies of some libraries. */
function toErrorFields(error: unknown, withStack: boolean): unknown {
  if (!(error instanceof Error)) return error
  return {
    type: error.name,
    message: error.message,
    ...('code' in error ? { code: error.code } : {}),
    ...(withStack ? { stack: error.stack } : {}),
  }
}

/** Formats in this thread: a worker thread would lose the last lines of a process that ends abruptly. */
async function prettyTo(output: DestinationStream, colorize: boolean): Promise<DestinationStream> {
  const { createPrettyFormat } = await import('./pretty-log.js')
  const format = createPrettyFormat({ colorize })
  return { write: (line) => output.write(format(line)) }
}
