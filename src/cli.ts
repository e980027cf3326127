#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { basename, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import type { Command } from 'commander'
import type { Needs } from './config/config.js'
import type { CommandContext, ContextNeeds } from './service/context.js'

/** Files and sockets that a process needs: loading the modules opens some 100 at once, and the service has fewer connections. */
const MIN_OPEN_FILES = 128

// Before the other modules are loaded, which would fail without a word of ours.
const openFiles = readOpenFilesLimit()
if (openFiles < MIN_OPEN_FILES) {
  process.stderr.write(
    `spidra-sync: the limit of open files is ${openFiles}, and at least ${MIN_OPEN_FILES} are needed: raise it (ulimit -n).\n`,
  )
  process.exit(1)
}
// Prisma reads this when it is loaded, and would print the whole configuration of the connection. LOG_LEVEL is for that.
delete process.env.DEBUG

const { CommanderError } = await import('commander')
const { createCommandLine } = await import('./commands/command-line.js')
const { loadConfig } = await import('./config/config.js')
const { readUsableEnvFile } = await import('./config/env-file.js')
const { ConfigError, FlagError, UsageError } = await import('./config/errors.js')
const { secretsAmong } = await import('./config/secrets.js')
const { messageOf } = await import('./logging/error-code.js')
const { toPrintableLines, wrapFor } = await import('./logging/printable.js')
const { createSecrets, redactOutput } = await import('./logging/redact.js')
const { forOnlyAccount } = await import('./service/accounts.js')
const { createContext, EMBEDDED_DIRECTORIES, EXIT_CODES } = await import('./service/context.js')
const { onStopSignal } = await import('./service/stop-signal.js')

// With much memory, V8 lets the heap grow to a multiple of the live objects. Collecting garbage sooner costs a few percent of
// time and saves about 100 MB, which is better for a background service.
setFlagsFromString('--heap-growing-percent=25')

const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)
const { stdout, stderr } = process
const stop = onStopSignal(process)
/** Whether the command is `start`, whose standard output is its log. */
let isService = false
const secrets = createSecrets(secretsAmong(process.env))
const writeSecret = stdout.write.bind(stdout)
// Whatever the environment switches on, such as NODE_DEBUG, no output bypasses the redaction.
for (const stream of [stdout, stderr]) redactOutput(stream, secrets)

function contextOf(needs: ContextNeeds): Promise<CommandContext<string | null>> {
  return createContext(
    { host: process, stop, secrets, version: manifest.version, self: ownName(), account: namedAccount() },
    needs,
  )
}

function namedAccount(): string | null {
  return commandLine.opts<{ account?: string }>().account ?? null
}

/** @throws {FlagError} when `--account` is given to a command that has accounts of its own */
function refuseAccount(command: string): void {
  if (namedAccount() !== null) throw new FlagError(`${command} takes no --account: it does not use your accounts.`)
}

/** How this program was called, for a command to be copied. In a checkout it is on no path. */
function ownName(): string {
  const [, script = ''] = process.argv
  const isOnPath = basename(script) !== 'cli.js' && basename(script) !== 'cli.ts'
  return isOnPath ? 'spidra-sync' : `node ${relative(process.cwd(), script)}`
}

/** The command prints its answer to standard output, so the log goes to standard error. */
const FOR_PEOPLE = { logsTo: 'stderr', isQuiet: true } as const

const needs = (what: Needs, others: Omit<ContextNeeds, 'load'>): ContextNeeds => ({
  load: (env, options) => loadConfig(env, { needs: what, ...options }),
  ...others,
})

/** What a command with `--demo` gets in place of environment and database: those of the demo in this folder. */
async function placeOf(isDemo: boolean): Promise<Pick<ContextNeeds, 'chooseVariables' | 'embeddedDirectory'>> {
  if (!isDemo) return {}
  const { findDemo } = await import('./commands/demo/setup.js')
  return findDemo(process.cwd())
}

/** Creates the context of a command that only reads the database. */
async function readingContextOf({ demo }: { readonly demo: boolean }): Promise<CommandContext<string | null>> {
  return contextOf(needs('database', { ...FOR_PEOPLE, accounts: 'stored', ...(await placeOf(demo)) }))
}

/** Creates the action of a command, which sets the exit code. `run` loads the code of the command when it is called. */
function action<Arguments extends unknown[]>(
  run: (...args: Arguments) => Promise<number>,
  { endsBySignal = false } = {},
): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    const exitCode = await run(...args).catch(conclude)
    process.exitCode = stop.exitCode === null || endsBySignal ? exitCode : stop.exitCode
  }
}

/** The command whose action runs. */
let actedOn: Command | null = null

const commandLine = createCommandLine(manifest.version, stderr, {
  start: action(
    async ({ role }) => {
      isService = true
      const { runStartCommand } = await import('./commands/start.js')
      return runStartCommand(await contextOf(needs('service', { logsTo: 'stdout' })), role ?? null)
    },
    { endsBySignal: true },
  ),

  sync: action(async (flags) => {
    const { runSyncCommand } = await import('./commands/sync.js')
    return runSyncCommand(await contextOf(needs('sync', FOR_PEOPLE)), flags)
  }),

  plan: action(async (flags) => {
    const { runPlanCommand } = await import('./commands/plan.js')
    return runPlanCommand(await contextOf(needs('sync', { ...FOR_PEOPLE, ...(await placeOf(flags.demo)) })), flags)
  }),

  status: action(async (flags) => {
    const { runStatusCommand } = await import('./commands/status.js')
    return runStatusCommand(await readingContextOf(flags), flags)
  }),

  doctor: action(async ({ json, demo: isDemo }) => {
    const { runDoctorCommand } = await import('./commands/doctor/doctor.js')
    const colour = stdout.isTTY && !process.env.NO_COLOR
    const options = { json, isDemo, nodeVersion: process.versions.node, colour }
    const place = await placeOf(isDemo)
    return runDoctorCommand((load) => contextOf({ load, logsTo: 'stderr', accounts: 'usable', ...place }), options)
  }),

  report: action(async (flags) => {
    const { runReportCommand } = await import('./commands/report.js')
    return runReportCommand(await readingContextOf(flags), flags)
  }),

  verify: action(async (flags) => {
    const { runVerifyCommand } = await import('./commands/verify.js')
    return runVerifyCommand(await contextOf(needs('sync', FOR_PEOPLE)), flags)
  }),

  psql: action(async (args, flags) => {
    const { runPsqlCommand } = await import('./commands/psql.js')
    const place = await placeOf(flags.demo)
    const context = await contextOf(needs('database', { ...FOR_PEOPLE, accounts: 'none', ...place }))
    const { leaveInterrupts } = stop
    return runPsqlCommand(context, { ...flags, args }, { env: process.env, writeSecret, leaveInterrupts })
  }),

  migrate: action(async (flags) => {
    const { runMigrateCommand } = await import('./commands/migrate.js')
    return runMigrateCommand(await contextOf(needs('database', { ...FOR_PEOPLE, accounts: 'none' })), flags)
  }),

  grantReader: action(async (role, flags) => {
    const { runGrantReaderCommand } = await import('./commands/grant-reader.js')
    return runGrantReaderCommand(await contextOf(needs('database', { ...FOR_PEOPLE, accounts: 'none' })), role, flags)
  }),

  demo: action(
    async (flags) => {
      refuseAccount('demo')
      const { demoVariables } = await import('./commands/demo/setup.js')
      let isPortChosen = false
      const load: ContextNeeds['load'] = (env, options) => {
        isPortChosen = Boolean(env.HTTP_PORT)
        return loadConfig(env, { needs: 'service', ...options })
      }
      const isFleet = flags.accounts > 1 || flags.workers !== undefined
      const embeddedDirectory = EMBEDDED_DIRECTORIES[isFleet ? 'demoFleet' : 'demo']
      const place = { chooseVariables: demoVariables, embeddedDirectory }
      const context = forOnlyAccount(await contextOf({ load, ...FOR_PEOPLE, ...place }))
      if (!isFleet) {
        const { runDemoCommand } = await import('./commands/demo/demo.js')
        return runDemoCommand(context, { ...flags, isPortChosen })
      }
      const { runDemoFleet } = await import('./commands/demo/fleet.js')
      const { fork } = await import('node:child_process')
      return runDemoFleet(context, { ...flags, isPortChosen }, (args, env, cwd) => {
        // Detached, so that Ctrl-C reaches only the demo, which stops its workers: a second signal would end them at once.
        const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const
        const own = { ...env, END_WITH_PARENT: 'true' }
        return fork(fileURLToPath(import.meta.url), args, { cwd, env: own, detached: true, stdio: [...stdio] })
      })
    },
    { endsBySignal: true },
  ),

  completion: action(async (shell) => {
    const { toCompletionScript } = await import('./commands/completion.js')
    stdout.write(toCompletionScript(commandLine, shell))
    return EXIT_CODES.complete
  }),

  simulate: action(
    async (flags) => {
      refuseAccount('simulate')
      const { runSimulate } = await import('./commands/simulate.js')
      await runSimulate({ flags, stdout, signal: stop.signal })
      return EXIT_CODES.complete
    },
    { endsBySignal: true },
  ),
})

commandLine.hook('preAction', (_program, command) => {
  actedOn = command
})

/** The limit of open files and sockets of this process, as Linux tells it; elsewhere infinite. */
function readOpenFilesLimit(): number {
  try {
    return Number(
      /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Number.POSITIVE_INFINITY,
    )
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** Reports what a command threw, unless it is only the stop, and returns the exit code. */
function conclude(error: unknown): number {
  if (stop.signal.aborted && isAbort(error)) return EXIT_CODES.complete
  report(error)
  return error instanceof ConfigError || error instanceof UsageError ? EXIT_CODES.usage : EXIT_CODES.failed
}

function isAbort(error: unknown): boolean {
  return error === stop.signal.reason || (error instanceof Error && error.name === 'AbortError')
}

/** Writes the error as one line for people, without secrets. `LOG_LEVEL=debug` and `trace` add the stack. */
function report(error: unknown): void {
  // Read again here, because the error may be one of the configuration.
  const level = { ...readUsableEnvFile('.env'), ...process.env }.LOG_LEVEL
  const isDebug = level === 'debug' || level === 'trace'
  const text = isDebug && error instanceof Error ? (error.stack ?? error.message) : messageOf(error)
  const lines = error instanceof ConfigError ? `the configuration cannot be used:\n${text}` : text
  const message = `spidra-sync: ${toPrintableLines(secrets.redact(lines))}\n`
  stderr.write(isDebug ? message : wrapFor(stderr, message))
  if (error instanceof FlagError) stderr.write(`\n${actedOn?.helpInformation() ?? ''}`)
}

// A parent process can ask by this variable that we end with it, as the demo does. A message would be lost if the parent is
// already gone.
if (process.env.END_WITH_PARENT === 'true') {
  process.once('disconnect', () => stop.request())
  process.channel?.unref()
  if (!process.connected) stop.request()
}
let isOutputLost = false
// A reader that closes the pipe, as in `spidra-sync status | head` (EPIPE), and a closed terminal (EIO) are no failures: the
// command stops, because nobody reads its output. A full disk is a failure. The service goes on, since its log is not its work;
// Node tries each further line, so the log goes on as soon as there is room.
stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  const isFailure = code !== 'EPIPE' && code !== 'EIO'
  if (isFailure && !isOutputLost) {
    const what = isService ? 'the log is lost until it can be written again' : 'the output is incomplete'
    stderr.write(`spidra-sync: standard output cannot be written (${code}): ${what}\n`)
  }
  isOutputLost ||= isFailure
  if (!isFailure || !isService) stop.request()
})
process.once('exit', () => {
  if (isOutputLost && !isService) process.exitCode = EXIT_CODES.failed
})
// There is no other place to report this error to.
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
