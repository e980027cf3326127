#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { Command, CommanderError } from 'commander'
import { type CommandContext, EXIT_CODES } from './commands/command.js'
import type { SimulateFlags } from './commands/simulate.js'
import { type Config, loadConfig, type Needs } from './config.js'
import { ConfigError } from './config-error.js'
import { readEnvFile } from './env-file.js'
import { createLogger } from './logger.js'
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
let redact = createRedact([])

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
  const stream = process[logsTo]
  const config = load(env, stream.isTTY)
  redact = createRedact(config.secrets)
  stop.limit(config.shutdownGraceMs)
  const level = isQuiet && stream.isTTY && !env.LOG_LEVEL ? 'warn' : config.log.level
  // A progress bar may stand on the line.
  const clearLine = isQuiet && stream.isTTY ? '\r\u001b[K' : ''
  const destination = { write: (line: string) => void stream.write(`${clearLine}${line}`) }
  const { format } = config.log
  const log = await createLogger({
    level,
    format,
    secrets: config.secrets,
    destination,
    colorize: usesColour(env, stream),
  })
  return {
    config,
    account: program.opts<{ account: string }>().account,
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

const program = new Command('spidra-sync')
  .description('Your Spidra batch jobs, in your own Postgres.')
  .version(manifest.version)
  .option('--account <name>', 'account to act on', 'default')
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError('(spidra-sync --help lists the commands)')
  .addHelpText('after', '\nConfiguration comes from the environment and .env; .env.example lists every variable.')

/** Registers what a command does; its code is loaded only when it is called. */
function action<Arguments extends unknown[]>(
  run: (...args: Arguments) => Promise<number>,
  { endsBySignal = false } = {},
): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    const exitCode = await run(...args)
    process.exitCode = stop.exitCode !== null && !endsBySignal ? stop.exitCode : exitCode
  }
}

program
  .command('start')
  .description('the service: migrate, schedules, HTTP; runs until SIGTERM or SIGINT')
  .action(
    action(
      async () => {
        const { runStartCommand } = await import('./commands/start.js')
        return runStartCommand(await contextOf(needs('service'), { logsTo: 'stdout' }))
      },
      { endsBySignal: true },
    ),
  )

program
  .command('sync')
  .description('one run now')
  .option('--full', 'read every page', false)
  .option('--json', 'print one JSON line', false)
  .action(
    action(async (flags: { full: boolean; json: boolean }) => {
      const { runSyncCommand } = await import('./commands/sync.js')
      return runSyncCommand(await contextOf(needs('sync'), { logsTo: 'stderr', isQuiet: true }), flags)
    }),
  )

program
  .command('status')
  .description('freshness and last runs')
  .option('--json', 'print one JSON line', false)
  .action(
    action(async ({ json }: { json: boolean }) => {
      const { runStatusCommand } = await import('./commands/status.js')
      return runStatusCommand(await contextOf(needsDatabase, { logsTo: 'stderr', isQuiet: true }), { json })
    }),
  )

program
  .command('migrate')
  .description('apply the migrations and end')
  .action(
    action(async () => {
      const { runMigrateCommand } = await import('./commands/migrate.js')
      return runMigrateCommand(await contextOf(needsDatabase, { logsTo: 'stderr', isQuiet: true }))
    }),
  )

program
  .command('demo')
  .description('the service on a simulated account and an embedded Postgres; needs no key')
  .option('--once', 'end after the first run', false)
  .action(
    action(
      async (flags: { once: boolean }) => {
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
  )

program
  .command('simulate')
  .description('only the simulator, on a port')
  .option('--port <port>', 'port, 0 for any free one (default 4010)')
  .option('--jobs <number>', 'jobs at the start (default 2000)')
  .option('--seed <number>', 'same seed, same jobs (default 1)')
  .option('--epoch <instant>', 'when the account came to life, ISO 8601 (default now)')
  .option('--arrivals <number>', 'new jobs per minute (default 6)')
  .option('--removals <number>', 'jobs that vanish per minute (default 0)')
  .option('--speed <factor>', 'how many times faster a job lives (default 1)')
  .option('--latency <ms>', 'before each answer (default 0)')
  .option('--key <key>', 'the key that opens the account (default spd_demo)')
  .option('--rate-limit <requests>', 'per window, or off (default 300)')
  .option('--window <seconds>', 'length of a window (default 900)')
  .option('--faults <kind:share,...>', 'such as http500:0.02,dropped:0.01 (default none)')
  .option('--ties <share>', 'jobs with the createdAt of the one before (default 0.05)')
  .action(
    action(
      async (flags: SimulateFlags) => {
        const { runSimulate } = await import('./commands/simulate.js')
        await runSimulate({ flags, stdout, signal: stop.signal })
        return EXIT_CODES.complete
      },
      { endsBySignal: true },
    ),
  )

/** One line for people, without secrets; the stack only for those who ask for it. */
function report(error: unknown): void {
  const isDebug = process.env.LOG_LEVEL === 'debug' || process.env.LOG_LEVEL === 'trace'
  const text = error instanceof Error ? (isDebug ? (error.stack ?? error.message) : error.message) : String(error)
  const lines = error instanceof ConfigError ? `the configuration cannot be used:\n${text}` : text
  stderr.write(`spidra-sync: ${redact(lines)}\n`)
}

function exitCodeOf(error: unknown): number {
  if (stop.exitCode !== null) return stop.exitCode
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_CODES.usage
  return error instanceof ConfigError || error instanceof UsageError ? EXIT_CODES.usage : EXIT_CODES.failed
}

// A reader that has seen enough, as in `spidra-sync status | head`, is no fault.
stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : EXIT_CODES.failed))
process.on('uncaughtException', (error) => {
  report(error)
  process.exit(EXIT_CODES.failed)
})

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError) && stop.exitCode === null) report(error)
  process.exitCode = exitCodeOf(error)
} finally {
  stop.dispose()
}
