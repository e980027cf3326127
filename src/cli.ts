#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { CommanderError } from 'commander'
import { type CommandContext, EXIT_CODES } from './commands/command.js'
import { createCommandLine } from './commands/command-line.js'
import { type Config, loadConfig, type Needs } from './config.js'
import { ConfigError } from './config-error.js'
import { forgetSecrets, secretsAmong } from './config-secrets.js'
import { readEnvFile, warningsAboutFile } from './env-file.js'
import { createLogger } from './logger.js'
import { toPrintableLines } from './printable.js'
import { createRedact } from './redact.js'
import { onStopSignal } from './stop-signal.js'
import { UsageError } from './usage-error.js'

// On a machine with much memory V8 lets garbage pile up to a multiple of what is alive. A background service should stay
// small: collecting sooner costs a few percent of time and saves a hundred megabytes.
setFlagsFromString('--heap-growing-percent=25')

const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)
const { stdout, stderr } = process
const stop = onStopSignal(process)
let redact = createRedact(secretsAmong(process.env))

interface Edge {
  /** Logs belong to the service's standard output, and to standard error where that carries an answer. */
  readonly logsTo: 'stdout' | 'stderr'
  /** On a terminal, say only what is wrong: a progress bar or a text tells the rest. */
  readonly isQuiet?: boolean
}

/** Reads the environment and makes what a command needs of the process. */
async function contextOf<Key extends string | null>(
  load: (env: NodeJS.ProcessEnv, isTerminal: boolean) => Config<Key>,
  { logsTo, isQuiet = false }: Edge,
): Promise<CommandContext<Key>> {
  const env = { ...readEnvFile('.env'), ...process.env }
  redact = createRedact(secretsAmong(env))
  const stream = process[logsTo]
  const config = load(env, stream.isTTY)
  forgetSecrets(process)
  stop.limit(config.shutdownGraceMs)
  const level = isQuiet && stream.isTTY && !env.LOG_LEVEL ? 'warn' : config.log.level
  // A progress bar may stand on the line.
  const clearLine = isQuiet && stream.isTTY ? '\r\u001b[K' : ''
  const destination = { write: (line: string) => void stream.write(`${clearLine}${line}`) }
  const { format } = config.log
  const { secrets } = config
  const log = await createLogger({ level, format, secrets, destination, colorize: usesColour(env, stream) })
  for (const warning of [...config.warnings, ...warningsAboutFile('.env')]) log.warn(warning)
  return {
    config,
    account: commandLine.opts<{ account: string }>().account,
    workingDirectory: process.cwd(),
    worker: `${hostname()}:${process.pid}`,
    version: manifest.version,
    log,
    stdout,
    stderr,
    signal: stop.signal,
  }
}

function usesColour(env: NodeJS.ProcessEnv, stream: NodeJS.WriteStream): boolean {
  return stream.isTTY && !env.NO_COLOR
}

const needs = (what: 'sync' | 'service') => (env: NodeJS.ProcessEnv, isTerminal: boolean) =>
  loadConfig(env, { needs: what, isTerminal })
const needsDatabase = (env: NodeJS.ProcessEnv, isTerminal: boolean) =>
  loadConfig(env, { needs: 'database' satisfies Needs, isTerminal })

/** Makes what a command does of what it runs; its code is loaded only when it is called. */
function action<Arguments extends unknown[]>(
  run: (...args: Arguments) => Promise<number>,
  { endsBySignal = false } = {},
): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    const exitCode = await run(...args).catch(conclude)
    process.exitCode = stop.exitCode === null || endsBySignal ? exitCode : stop.exitCode
  }
}

const commandLine = createCommandLine(manifest.version, {
  start: action(
    async () => {
      const { runStartCommand } = await import('./commands/start.js')
      return runStartCommand(await contextOf(needs('service'), { logsTo: 'stdout' }))
    },
    { endsBySignal: true },
  ),

  sync: action(async (flags) => {
    const { runSyncCommand } = await import('./commands/sync.js')
    return runSyncCommand(await contextOf(needs('sync'), { logsTo: 'stderr', isQuiet: true }), flags)
  }),

  plan: action(async () => {
    const { runPlanCommand } = await import('./commands/plan.js')
    return runPlanCommand(await contextOf(needs('sync'), { logsTo: 'stderr', isQuiet: true }))
  }),

  status: action(async (flags) => {
    const { runStatusCommand } = await import('./commands/status.js')
    return runStatusCommand(await contextOf(needsDatabase, { logsTo: 'stderr', isQuiet: true }), flags)
  }),

  doctor: action(async ({ json }) => {
    const { runDoctorCommand } = await import('./commands/doctor.js')
    const options = { json, nodeVersion: process.versions.node, colour: usesColour(process.env, stdout) }
    return runDoctorCommand((load) => contextOf(load, { logsTo: 'stderr' }), options)
  }),

  report: action(async (flags) => {
    const { runReportCommand } = await import('./commands/report.js')
    return runReportCommand(await contextOf(needsDatabase, { logsTo: 'stderr', isQuiet: true }), flags)
  }),

  verify: action(async (flags) => {
    const { runVerifyCommand } = await import('./commands/verify.js')
    return runVerifyCommand(await contextOf(needs('sync'), { logsTo: 'stderr', isQuiet: true }), flags)
  }),

  migrate: action(async () => {
    const { runMigrateCommand } = await import('./commands/migrate.js')
    return runMigrateCommand(await contextOf(needsDatabase, { logsTo: 'stderr', isQuiet: true }))
  }),

  grantReader: action(async (role) => {
    const { runGrantReaderCommand } = await import('./commands/grant-reader.js')
    return runGrantReaderCommand(await contextOf(needsDatabase, { logsTo: 'stderr', isQuiet: true }), role)
  }),

  demo: action(
    async (flags) => {
      const { DEMO_ENVIRONMENT, runDemoCommand } = await import('./commands/demo.js')
      // Only what shows: a real key or database must never meet the demo.
      const load = ({ HTTP_HOST, HTTP_PORT, LOG_LEVEL, LOG_FORMAT }: NodeJS.ProcessEnv, isTerminal: boolean) =>
        loadConfig(
          { HTTP_HOST, HTTP_PORT, LOG_FORMAT, LOG_LEVEL: LOG_LEVEL || 'warn', ...DEMO_ENVIRONMENT },
          { needs: 'service', isTerminal },
        )
      return runDemoCommand(await contextOf(load, { logsTo: 'stderr', isQuiet: true }), flags)
    },
    { endsBySignal: true },
  ),

  simulate: action(
    async (flags) => {
      const { runSimulate } = await import('./commands/simulate.js')
      await runSimulate({ flags, stdout, signal: stop.signal })
      return EXIT_CODES.complete
    },
    { endsBySignal: true },
  ),
})

/** The exit code for what a command threw. It is told, unless it is nothing but the stop. */
function conclude(error: unknown): number {
  if (stop.signal.aborted && isAbort(error)) return EXIT_CODES.complete
  report(error)
  return error instanceof ConfigError || error instanceof UsageError ? EXIT_CODES.usage : EXIT_CODES.failed
}

function isAbort(error: unknown): boolean {
  return error === stop.signal.reason || (error instanceof Error && error.name === 'AbortError')
}

/** One line for people, without secrets; the stack only for those who ask for it. */
function report(error: unknown): void {
  const isDebug = process.env.LOG_LEVEL === 'debug' || process.env.LOG_LEVEL === 'trace'
  const text = error instanceof Error ? (isDebug ? (error.stack ?? error.message) : error.message) : String(error)
  const lines = error instanceof ConfigError ? `the configuration cannot be used:\n${text}` : text
  stderr.write(`spidra-sync: ${toPrintableLines(redact(lines))}\n`)
}

// A reader that has seen enough, as in `spidra-sync status | head`, is no fault; what is under way is wound up.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') stop.request()
  else process.exit(EXIT_CODES.failed)
})
// Nobody is there to be told.
stderr.on('error', () => undefined)
process.on('uncaughtException', (error) => {
  report(error)
  process.exit(EXIT_CODES.failed)
})

try {
  await commandLine.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT_CODES.complete : EXIT_CODES.usage
  else process.exitCode = conclude(error)
} finally {
  stop.dispose()
}
