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
    '16 sizes, arrivals and circumstances in which any two meet, one after the other; --jobs and --arrivals choose among them',
  )
  .parse()

type Given = Omit<LifetimeOptions, 'dayMinutes' | 'say' | 'signal' | 'name'>
const { daysInMinutes, matrix, ...given } = command.opts<Given & { daysInMinutes: number; matrix?: true }>()

const SIZES = [1_000, 20_000, 100_000, 1_000_000]
const ARRIVALS = [0, 1, 10, 60]

const isGiven = (name: 'jobs' | 'arrivals') => command.getOptionValueSource(name) === 'cli'

/**
 * Each size with each number of arrivals, 16 times. The circumstances are spread over them so that any two values of any two
 * columns meet in a row (an orthogonal array): each is the exclusive or of a bit of the size and one of the arrivals.
 */
function* matrixOf(): Generator<Given & { readonly dayMinutes: number }> {
  for (const [s, jobs] of SIZES.entries()) {
    for (const [a, arrivals] of ARRIVALS.entries()) {
      if ((isGiven('jobs') && jobs !== given.jobs) || (isGiven('arrivals') && arrivals !== given.arrivals)) continue
      const differs = (sizeBit: number, arrivalBit: number) => (s & sizeBit) > 0 !== (a & arrivalBit) > 0
      yield {
        ...{ ...given, jobs, arrivals },
        // A first load of a million jobs takes more than a day.
        days: jobs >= 1_000_000 ? 3 : given.days,
        // The requests of a busy account would take too much of a day that is so short, and so would counting a million rows.
        dayMinutes: arrivals >= 60 || jobs >= 1_000_000 ? Math.min(60, 2 * daysInMinutes) : daysInMinutes,
        removals: differs(1, 1) ? 0.1 : 0,
        restarts: differs(2, 2),
        faults: differs(1, 2) ? 0.1 : 0,
        others: differs(2, 1),
      }
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
for (const options of matrix === true ? matrixOf() : [{ ...given, dayMinutes: daysInMinutes }]) {
  const name = nameOf(options)
  const { violations } = await runLifetime({ ...options, name, signal, say })
  isViolated ||= violations.length > 0
  if (signal.aborted) break
}
process.exitCode = isViolated || signal.aborted ? 1 : 0
