// Measures spidra-sync and its alternatives, and writes bench/report.md. See `npm run bench -- --help`.
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError } from 'commander'
import { playFreshness } from './freshness/freshness.js'
import { FRESHNESS_SIZES, type FreshnessSizes, SMOKE, toFreshnessPlan, WHOLE } from './plan.js'
import { type BenchServer, openServer } from './postgres.js'
import { toFacts, toMarkdown } from './report/document.js'
import { faultsOf } from './report/goals.js'
import { toGrowthChart } from './report/growth-chart.js'
import { toQuoted } from './report/quoted.js'
import { combine, NO_RESULTS, type Results } from './results.js'
import { playRounds, type Row } from './run.js'
import { measureOtherDay, measureOwnDay, type StandingRow } from './standing-still.js'
import { ours } from './subjects/ours.js'
import type { Subject } from './subjects/subject.js'

function numberUpTo(most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!(value > 0 && value <= most)) throw new InvalidArgumentError(`It must be a number above 0 and up to ${most}.`)
    return value
  }
}

const options = new Command('npm run bench --')
  .option(
    '--only <text>',
    'only the workload of this name; if there is none, all workloads whose names contain it, such as "churn"',
    '',
  )
  .option('--rounds <number>', 'rounds of each workload; 1 with --smoke', '5')
  .option(
    '--smoke',
    'a quick check with small lists and without peers: does everything run, and is the data right?',
    false,
  )
  .option('--no-peers', 'leave out the subjects that must be installed from npm and PyPI first')
  .option(
    '--out <file>',
    'where to write the report; the chart, and figures.json for `npm run figures`, are written beside it',
    fileURLToPath(new URL('report.md', import.meta.url)),
  )
  .option(
    '--rest <file>',
    'JSON of an earlier run, whose figures are reported for the workloads that --only leaves out',
  )
  .option('--fresh-jobs <numbers>', 'jobs in the lists of the workloads "freshness", such as 20000,100000', (text) =>
    text.split(',').map(numberUpTo(1_000_000)),
  )
  .option('--fresh-hours <number>', 'hours for which they are sampled, in the time of the account', numberUpTo(240))
  .option(
    '--fresh-speed <number>',
    'how much faster their time goes, at most 60',
    numberUpTo(60),
    FRESHNESS_SIZES.speed,
  )
  .option('--json <file>', 'where to write all measurements as JSON; default: nowhere')
  .parse()
  .opts<{
    only: string
    rounds: string
    smoke: boolean
    peers: boolean
    out: string
    rest?: string
    freshJobs?: number[]
    freshHours?: number
    freshSpeed: number
    json?: string
  }>()

const say = (line: string) => void process.stderr.write(`${line}\n`)
const plan = options.smoke ? SMOKE : { ...WHOLE, freshness: toFreshnessPlan(freshnessSizes()) }
const rounds = options.smoke ? 1 : Math.max(1, Number(options.rounds) || 1)
const names = [
  ...new Set([
    ...plan.freshness.groups.flatMap((group) => group.map(({ workload }) => workload.name)),
    ...[...plan.standing, ...plan.entries].map(({ workload }) => workload.name),
  ]),
]
// "10,000 jobs" is the name of a workload, and also part of other names.
const asked = names.filter((name) =>
  names.includes(options.only) ? name === options.only : name.includes(options.only),
)
const isAsked = ({ workload }: { readonly workload: { readonly name: string } }) => asked.includes(workload.name)
const isPlaying = (subject: Subject) => options.peers || subject.role !== 'peer'

function freshnessSizes(): FreshnessSizes {
  const { freshJobs, freshHours, freshSpeed } = options
  const [first] = FRESHNESS_SIZES.lists
  const lists = freshJobs?.map((jobs) => ({ jobs, hours: first?.hours ?? 0 })) ?? FRESHNESS_SIZES.lists
  return { speed: freshSpeed, lists: lists.map(({ jobs, hours }) => ({ jobs, hours: freshHours ?? hours })) }
}

/** What `--json` writes. */
interface Measured extends Results {
  readonly facts: readonly string[]
  readonly skipped: readonly string[]
}
// Read first, so that a missing file ends the benchmark now and not after an hour of measuring.
const rest: Measured | null = options.rest === undefined ? null : JSON.parse(await readFile(options.rest, 'utf8'))

const ready = new Set<Subject>()
const skipped: string[] = [...(rest?.skipped ?? [])]
const playing = [
  ...plan.freshness.groups
    .flat()
    .filter(isAsked)
    .flatMap(({ contenders }) => contenders.map(({ subject }) => subject)),
  ...plan.standing.filter(isAsked).flatMap(({ others }) => others),
  ...plan.entries.filter(isAsked).flatMap(({ players }) => players.map(({ subject }) => subject)),
]
for (const subject of new Set(playing.filter(isPlaying))) {
  if (subject.role === 'peer') say(`${subject.name}: installing missing packages`)
  const reason = await subject.prepare()
  if (reason === null) ready.add(subject)
  else if (!skipped.includes(`${subject.name}: ${reason}`)) skipped.push(`${subject.name}: ${reason}`)
}
for (const line of skipped) say(`NOT RUN: ${line}`)

const servers: BenchServer[] = []
// The subject under measurement ends by itself after the simulator and the database have stopped.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    for (const server of servers) await server[Symbol.asyncDispose]()
    process.exit(1)
  })
}
async function withServer<Result>(
  autovacuum: 'on' | 'off',
  work: (server: BenchServer) => Promise<Result>,
): Promise<Result> {
  await using server = await openServer({ autovacuum })
  servers.push(server)
  return await work(server)
}

const groups = plan.freshness.groups
  .map((group) =>
    group.filter(isAsked).map(({ workload, contenders }) => ({
      workload,
      contenders: contenders.filter(({ subject }) => ready.has(subject)),
    })),
  )
  .filter((group) => group.some(({ contenders }) => contenders.length > 0))
const fresh =
  groups.length === 0
    ? NO_RESULTS
    : await withServer('on', (server) => playFreshness(server, { ...plan.freshness, groups }, say))
const rows: Row[] = []
const standing: StandingRow[] = []
let postgres = ''
await withServer('off', async (server) => {
  postgres = server.version
  for (const { workload, others } of plan.standing.filter(isAsked)) {
    for (const subject of [ours, ...others.filter((other) => ready.has(other))]) {
      const measure = subject === ours ? measureOwnDay : measureOtherDay
      standing.push(await measure(server, workload, subject))
      say(`${workload.name} | ${subject.name}: measured`)
    }
  }
  for (const { workload, players } of plan.entries.filter(isAsked)) {
    const able = players.filter(({ subject }) => ready.has(subject))
    rows.push(...(await playRounds(server, { workload, players: able }, { rounds, say })))
  }
})

const results = combine({ ...fresh, rows, standing }, { ...NO_RESULTS, ...rest }, names, asked)
const chart = toGrowthChart(results.rows)
const facts =
  rest === null
    ? toFacts({ rounds, postgres, subjects: [...ready] })
    : [...rest.facts, `Measured again later, apart from the others: ${asked.join('; ')}.`]
const { sizes } = plan
const folder = dirname(options.out)
if (chart !== null) await writeFile(join(folder, 'growth.svg'), chart)
await writeFile(
  options.out,
  toMarkdown(results, { facts, skipped, sizes, chart: chart === null ? null : 'growth.svg' }),
)
await writeFile(join(folder, 'figures.json'), `${JSON.stringify(toQuoted(results, { facts, sizes }), null, 2)}\n`)
if (options.json !== undefined) await writeFile(options.json, JSON.stringify({ facts, skipped, sizes, ...results }))
say(`written: ${options.out}`)

const faults = faultsOf(results)
for (const fault of faults) say(`WRONG: ${fault}`)
const isMeasured = results.rows.length + results.freshness.length + results.standing.length > 0
process.exitCode = faults.length === 0 && isMeasured ? 0 : 1
