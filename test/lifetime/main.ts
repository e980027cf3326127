// `npm run lifetime`: days of the service in minutes. See `npm run lifetime -- --help`.
import { Command, InvalidArgumentError, Option } from 'commander'
import { tableHead } from './day.js'
import { type LifetimeOptions, runLifetime } from './lifetime.js'

function number(low: number, high = Number.POSITIVE_INFINITY): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!(value >= low && value <= high)) throw new InvalidArgumentError(`It must be a number from ${low} to ${high}.`)
    return value
  }
}

function dayLength(text: string): number {
  const minutes = Number(text)
  if (!(minutes >= 5 && 60 % minutes === 0)) throw new InvalidArgumentError('It must be 5 or more, and divide 60.')
  return minutes
}

const command = new Command('npm run lifetime --')
  .description('Runs the real service against a simulated account, with every duration scaled, and checks its claims.')
  .option('--days <number>', 'how many days', number(1), 1)
  .option('--jobs <number>', 'jobs at the start', number(0), 20_000)
  .option('--arrivals <number>', 'new jobs a minute', number(0), 10)
  .option('--removals <number>', 'jobs that leave the list a minute, from anywhere in it', number(0), 0)
  .option('--seed <number>', 'of the jobs, the faults and the restarts', number(1), 1)
  .option('--restarts', 'SIGTERM and kill -9 at random', false)
  .option('--faults <share>', 'share of the requests that fail', number(0, 1), 0)
  .option('--others', 'others use up half of each window', false)
  .addOption(new Option('--results <mode>', 'what is kept of batches').choices(['off', 'items', 'full']).default('off'))
  .option('--days-in-minutes <minutes>', 'real minutes of a day: a divisor of 60', dayLength, 5)
  .option('--page-limit <jobs>', 'jobs a page: with 5, 20,000 jobs are as many pages as 200,000', number(1, 50), 50)
  .option('--tolerance-ms <ms>', 'what measuring may add to an age, in real milliseconds', number(0), 500)
  .option(
    '--matrix',
    'all sizes, arrivals and circumstances, one after the other; --jobs and --arrivals choose among them',
  )
  .parse()

type Given = Omit<LifetimeOptions, 'dayMinutes' | 'say' | 'signal' | 'name'>
const { daysInMinutes, matrix, ...given } = command.opts<Given & { daysInMinutes: number; matrix?: true }>()

/** What the matrix varies. */
const SIZES = [1_000, 20_000, 100_000, 1_000_000]
const ARRIVALS = [0, 1, 10, 60]
const ALL = { removals: 0.1, restarts: true, faults: 0.1, others: true }
const CIRCUMSTANCES: readonly Partial<Given>[] = [
  {},
  { removals: ALL.removals },
  { restarts: ALL.restarts },
  { faults: ALL.faults },
  { others: ALL.others },
  ALL,
]

const chosen = (name: 'jobs' | 'arrivals', all: readonly number[]) =>
  command.getOptionValueSource(name) === 'cli' ? [given[name]] : all

function* matrixOf(): Generator<Given> {
  for (const jobs of chosen('jobs', SIZES)) {
    for (const arrivals of chosen('arrivals', ARRIVALS)) {
      for (const circumstances of CIRCUMSTANCES) yield { ...given, jobs, arrivals, ...circumstances }
    }
  }
}

function nameOf({ jobs, arrivals, removals, restarts, faults, others }: Given): string {
  const circumstances = [
    removals > 0 ? `-${removals}` : '',
    restarts ? 'restarts' : '',
    faults > 0 ? `faults ${faults}` : '',
    others ? 'others' : '',
  ]
  return [`${jobs.toLocaleString('en')} jobs, +${arrivals}`, ...circumstances.filter((text) => text !== '')].join(', ')
}

const say = (line: string) => void process.stdout.write(`${line}\n`)
const stopper = new AbortController()
const { signal } = stopper
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopper.abort())
let isViolated = false
say(tableHead('a minute; day'))
for (const options of matrix === true ? matrixOf() : [given]) {
  const name = nameOf(options)
  const { violations } = await runLifetime({ ...options, name, dayMinutes: daysInMinutes, signal, say })
  isViolated ||= violations.length > 0
  if (signal.aborted) break
}
process.exitCode = isViolated || signal.aborted ? 1 : 0
