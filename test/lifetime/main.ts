// `npm run lifetime`: days of the service in minutes. See `npm run lifetime -- --help`.
import { Command, InvalidArgumentError } from 'commander'
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

const options = new Command('npm run lifetime --')
  .description('Runs the real service against a simulated account, with every duration scaled, and checks its claims.')
  .option('--days <number>', 'how many days', number(1), 1)
  .option('--jobs <number>', 'jobs at the start', number(0), 20_000)
  .option('--arrivals <number>', 'new jobs a minute', number(0), 10)
  .option('--removals <number>', 'jobs that leave the list a minute', number(0), 0)
  .option('--seed <number>', 'of the jobs, the faults and the restarts', number(1), 1)
  .option('--restarts', 'SIGTERM and kill -9 at random', false)
  .option('--faults <share>', 'share of the requests that fail', number(0, 1), 0)
  .option('--others', 'others use up half of each window', false)
  .option('--days-in-minutes <minutes>', 'real minutes of a day: a divisor of 60', dayLength, 5)
  .option('--page-limit <jobs>', 'jobs a page: with 5, 20,000 jobs are as many pages as 200,000', number(1, 50), 50)
  .option('--tolerance-ms <ms>', 'what measuring may add to an age, in real milliseconds', number(0), 500)
  .parse()
  .opts<Omit<LifetimeOptions, 'dayMinutes' | 'say' | 'signal'> & { readonly daysInMinutes: number }>()

const stopper = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopper.abort())
const { violations } = await runLifetime({
  ...options,
  signal: stopper.signal,
  dayMinutes: options.daysInMinutes,
  say: (line) => void process.stdout.write(`${line}\n`),
})
process.exitCode = stopper.signal.aborted || violations.length > 0 ? 1 : 0
