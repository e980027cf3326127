import { Argument, Command, Help, InvalidArgumentError, Option } from 'commander'
import type { FleetRole } from '../fleet/fleet.js'
import { type TextOutput, wrapFor } from '../logging/printable.js'
import { SHELLS, type Shell } from './completion.js'
import type { DemoFleetFlags } from './demo/fleet.js'
import type { GrantReaderFlags } from './grant-reader.js'
import type { PsqlFlags } from './psql.js'
import type { ReportFlags } from './report.js'
import type { SimulateFlags } from './simulate.js'
import type { SyncFlags } from './sync.js'
import type { VerifyFlags } from './verify.js'

/** The flag of a command that can print its answer for programs. */
interface Json {
  readonly json: boolean
}

/** The action of each command. */
interface Handlers {
  readonly start: (flags: { readonly role?: FleetRole }) => Promise<void>
  readonly sync: (flags: SyncFlags) => Promise<void>
  readonly plan: (flags: Json & { readonly demo: boolean }) => Promise<void>
  readonly status: (flags: Json & { readonly demo: boolean }) => Promise<void>
  readonly report: (flags: ReportFlags & { readonly demo: boolean }) => Promise<void>
  readonly doctor: (flags: Json & { readonly demo: boolean }) => Promise<void>
  readonly verify: (flags: VerifyFlags) => Promise<void>
  readonly psql: (args: readonly string[], flags: Omit<PsqlFlags, 'args'>) => Promise<void>
  readonly migrate: (flags: Json) => Promise<void>
  readonly grantReader: (role: string, flags: GrantReaderFlags) => Promise<void>
  readonly demo: (flags: DemoFleetFlags) => Promise<void>
  readonly completion: (shell: Shell) => Promise<void>
  readonly simulate: (flags: SimulateFlags) => Promise<void>
}

const JSON_LINE = ['--json', 'print one JSON line', false] as const
const DEMO = ['--demo', 'of the demo in this folder, whatever the environment says', false] as const

/**
 * Creates the parser of commands and flags, with its help. Parsing rejects with a `CommanderError`, also for `--help`.
 *
 * @param stderr where errors are written: on a terminal they are wrapped
 */
export function createCommandLine(version: string, stderr: TextOutput, handlers: Handlers): Command {
  const program = new Command('spidra-sync')
    .description('Your Spidra batch jobs, in your own Postgres.')
    .version(version)
    .option('--account <name>', 'configured or stored account to act on (default: all of them)', readAccount)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(wrapFor(stderr, text)) })
    .configureHelp({
      showGlobalOptions: true,
      // "(default: false)" behind a flag that is on or off says nothing.
      optionDescription: (option) =>
        option.defaultValue === false ? option.description : Help.prototype.optionDescription(option),
    })
    .showHelpAfterError('(spidra-sync --help lists the commands)')
    .addHelpText('after', '\nConfigured by the environment and .env; .env.example lists every variable.')

  /** Adds a command, whose usage errors show its own help. Each example is what follows the name of the program. */
  function add(name: string, examples: readonly string[]): Command {
    const lines = examples.map((example) => `\n  ${program.name()} ${example}`)
    return program
      .command(name)
      .showHelpAfterError(true)
      .addHelpText('after', `\nExamples:${lines.join('')}`)
  }

  add('start', ['start', 'start --role worker'])
    .description('the service: migrate, schedules, HTTP; runs until SIGTERM or SIGINT')
    .addOption(
      new Option('--role <role>', 'part in a fleet (default: both, if there are several accounts)').choices([
        'scheduler',
        'worker',
        'both',
      ]),
    )
    .action(handlers.start)

  add('sync', ['sync', 'sync --full', 'sync --account berlin --json'])
    .description('one run now')
    .option('--full', 'read every page', false)
    .option('--accept-removals', 'with --full: mark jobs as removed even if most of them are no longer listed', false)
    .option(...JSON_LINE)
    .action(handlers.sync)

  add('plan', ['plan', 'plan --json', 'plan --demo'])
    .description('one request; shows what a full pass and an incremental run would cost')
    .option(...JSON_LINE)
    .option(...DEMO)
    .action(handlers.plan)

  add('status', ['status', "status --json | jq '.accounts[0].lagSeconds'", 'status --demo'])
    .description('freshness and last runs')
    .option(...JSON_LINE)
    .option(...DEMO)
    .action(handlers.status)

  add('report', ['report --days 7', 'report --html report.html'])
    .description('the numbers of the dashboard')
    .option('--days <days>', 'UTC days, today included', wholeNumberTo(400), 30)
    .option(...JSON_LINE)
    .option('--html <file>', 'write them to a file, as an HTML page')
    .option(...DEMO)
    .action(handlers.report)

  add('doctor', ['doctor', 'doctor --json | jq \'.checks[] | select(.status == "fail")\''])
    .description('check configuration, API, database and tables; say how to fix each problem')
    .option(...JSON_LINE)
    .option(...DEMO)
    .action(handlers.doctor)

  add('verify', ['verify', 'verify --sample 20'])
    .description('read pages again and compare them with the table')
    .option('--sample <pages>', 'random pages, and as many at the sweep position', wholeNumberTo(10_000), 5)
    .option(...JSON_LINE)
    .action(handlers.verify)

  add('psql', ['psql', "psql -- -c 'SELECT status, count(*) FROM batch_jobs GROUP BY 1'", 'psql --url'])
    .description('open psql on the database, read-only, or print its URL')
    .argument('[args...]', 'for psql, after --')
    .option('--url', 'print the URL, with its password', false)
    .option(...DEMO)
    .action(handlers.psql)

  add('migrate', ['migrate'])
    .description('apply the migrations and end')
    .option(...JSON_LINE)
    .action(handlers.migrate)

  add('grant-reader', ['grant-reader bi_reader', 'grant-reader bi_reader --with-results'])
    .description('let an existing role read the reporting views, and nothing else')
    .argument('<role>', 'name of the role')
    .option('--with-results', 'also the results of batches (SYNC_RESULTS=full)', false)
    .option(...JSON_LINE)
    .action(handlers.grantReader)

  add('demo', ['demo', 'demo --once', 'demo --accounts 20 --workers 3'])
    .description('the service on a simulated account and an embedded Postgres; needs no key')
    .option('--once', 'end after the first run', false)
    .option('--accounts <number>', 'several accounts, served by a fleet', wholeNumberTo(200), 1)
    .option('--workers <number>', 'processes that serve them (default: 3 for several accounts)', wholeNumberTo(200))
    .action(handlers.demo)

  add('simulate', ['simulate', 'simulate --jobs 100000 --latency 50', 'simulate --faults http500:0.02,dropped:0.01'])
    .description('only the simulator, on a port')
    .option('--port <port>', 'port, 0 for any free one (default 4010)')
    .option('--jobs <number>', 'jobs at the start (default 2000)')
    .option('--seed <number>', 'same seed, same jobs (default 1)')
    .option('--epoch <instant>', 'when the account was created, ISO 8601 (default now)')
    .option('--arrivals <number>', 'new jobs per minute (default 6)')
    .option('--removals <number>', 'jobs that are removed per minute (default 0)')
    .option('--speed <factor>', 'how many times faster a job progresses (default 1)')
    .option('--latency <ms>', 'before each answer (default 0)')
    .option('--key <key>', 'API key of the account (default spd_demo)')
    .option('--accounts <number>', 'accounts, the second with the key <key>_2 and so on (default 1)')
    .option('--rate-limit <requests>', 'per window, or off (default 300)')
    .option('--window <seconds>', 'length of a window (default 900)')
    .option('--faults <kind:share,...>', 'such as http500:0.02,dropped:0.01 (default none)')
    .option('--ties <share>', 'jobs with the createdAt of the one before (default 0.05)')
    .option('--cap <number>', 'jobs listed at most; each arrival drops the oldest (default no limit)')
    .option('--lag <seconds>', 'delay of the replica that gives half of the answers (default 0)')
    .action(handlers.simulate)

  add(
    'completion',
    SHELLS.map((shell) => `completion ${shell}`),
  )
    .description('print the script that completes commands and flags in a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action(handlers.completion)

  return program
}

function readAccount(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('It must not be empty.')
  return text
}

/** Creates the parser of a whole number from 1 to `max`. */
function wholeNumberTo(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isInteger(value) && value >= 1 && value <= max) return value
    throw new InvalidArgumentError(`It must be 1 to ${max}.`)
  }
}
