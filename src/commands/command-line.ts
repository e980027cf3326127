import { Command, InvalidArgumentError, Option } from 'commander'
import type { FleetRole } from '../fleet/fleet.js'
import type { DemoFleetFlags } from './demo/fleet.js'
import type { ReportFlags } from './report.js'
import type { SimulateFlags } from './simulate.js'
import type { SyncFlags } from './sync.js'

/** What each command does with its flags. */
export interface Handlers {
  readonly start: (flags: { readonly role?: FleetRole }) => Promise<void>
  readonly sync: (flags: SyncFlags) => Promise<void>
  readonly plan: () => Promise<void>
  readonly status: (flags: { readonly json: boolean }) => Promise<void>
  readonly report: (flags: ReportFlags) => Promise<void>
  readonly doctor: (flags: { readonly json: boolean }) => Promise<void>
  readonly verify: (flags: { readonly sample: number }) => Promise<void>
  readonly migrate: () => Promise<void>
  readonly grantReader: (role: string) => Promise<void>
  readonly demo: (flags: DemoFleetFlags) => Promise<void>
  readonly simulate: (flags: SimulateFlags) => Promise<void>
}

/** The commands and flags, with their help. Parsing rejects with a `CommanderError`, also for `--help`. */
export function createCommandLine(version: string, handlers: Handlers): Command {
  const program = new Command('spidra-sync')
    .description('Your Spidra batch jobs, in your own Postgres.')
    .version(version)
    .option('--account <name>', 'configured or stored account to act on (default: all of them)', readAccount)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(spidra-sync --help lists the commands)')
    .addHelpText('after', '\nConfigured by the environment and .env; .env.example lists every variable.')

  program
    .command('start')
    .description('the service: migrate, schedules, HTTP; runs until SIGTERM or SIGINT')
    .addOption(
      new Option('--role <role>', 'part in a fleet (default: both, where there are several accounts)').choices([
        'scheduler',
        'worker',
        'both',
      ]),
    )
    .action(handlers.start)

  program
    .command('sync')
    .description('one run now')
    .option('--full', 'read every page', false)
    .option(
      '--accept-removals',
      'with --full: mark jobs as removed even where most of them are listed no longer',
      false,
    )
    .option('--json', 'print one JSON line', false)
    .action(handlers.sync)

  program
    .command('plan')
    .description('one request; what a full pass and an incremental run would cost')
    .action(handlers.plan)

  program
    .command('status')
    .description('freshness and last runs')
    .option('--json', 'print one JSON line', false)
    .action(handlers.status)

  program
    .command('report')
    .description('the numbers of the dashboard')
    .option('--days <days>', 'UTC days, today included', readDays, 30)
    .option('--json', 'print one JSON line', false)
    .option('--html <file>', 'write them as one page into a file')
    .action(handlers.report)

  program
    .command('doctor')
    .description('look at configuration, API, database and tables; say what to mend')
    .option('--json', 'print one JSON line', false)
    .action(handlers.doctor)

  program
    .command('verify')
    .description('read pages again and compare them with the table')
    .option('--sample <pages>', 'random pages, and as many at the sweep position', readSample, 5)
    .action(handlers.verify)

  program.command('migrate').description('apply the migrations and end').action(handlers.migrate)

  program
    .command('grant-reader')
    .description('let an existing role read the reporting views, and nothing else')
    .argument('<role>', 'name of the role')
    .action(handlers.grantReader)

  program
    .command('demo')
    .description('the service on a simulated account and an embedded Postgres; needs no key')
    .option('--once', 'end after the first run', false)
    .option('--accounts <number>', 'several accounts, served by a fleet', readCount, 1)
    .option('--workers <number>', 'processes that serve them (default: 3 for several accounts)', readCount)
    .action(handlers.demo)

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
    .option('--accounts <number>', 'accounts, the second with the key <key>_2 and so on (default 1)')
    .option('--rate-limit <requests>', 'per window, or off (default 300)')
    .option('--window <seconds>', 'length of a window (default 900)')
    .option('--faults <kind:share,...>', 'such as http500:0.02,dropped:0.01 (default none)')
    .option('--ties <share>', 'jobs with the createdAt of the one before (default 0.05)')
    .option('--cap <number>', 'jobs listed at most; each arrival drops the oldest (default no limit)')
    .option('--lag <seconds>', 'half of the answers come from a replica that is so far behind (default 0)')
    .action(handlers.simulate)

  return program
}

function readAccount(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('It must not be empty.')
  return text
}

function readCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 200) throw new InvalidArgumentError('It must be 1 to 200.')
  return count
}

function readDays(text: string): number {
  const days = Number(text)
  if (!Number.isInteger(days) || days < 1 || days > 400) throw new InvalidArgumentError('It must be 1 to 400.')
  return days
}

function readSample(text: string): number {
  const pages = Number(text)
  if (!Number.isInteger(pages) || pages < 1 || pages > 10_000) throw new InvalidArgumentError('It must be 1 to 10000.')
  return pages
}
