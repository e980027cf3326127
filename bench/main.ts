// Measures spidra-sync and its alternatives, and writes bench/report.md. See `npm run bench -- --help`.
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { SMOKE, WHOLE } from './plan.js'
import { openServer } from './postgres.js'
import { toFacts, toMarkdown } from './report/document.js'
import { faultsOf } from './report/goals.js'
import { toGrowthChart } from './report/growth-chart.js'
import { playRounds, type Row } from './run.js'
import type { Subject } from './subjects/subject.js'

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
    'where to write the report; the chart is written beside it',
    fileURLToPath(new URL('report.md', import.meta.url)),
  )
  .option(
    '--rest <file>',
    'JSON of an earlier run, whose figures are reported for the workloads that --only leaves out',
  )
  .option('--json <file>', 'where to write all measurements as JSON; default: nowhere')
  .parse()
  .opts<{ only: string; rounds: string; smoke: boolean; peers: boolean; out: string; rest?: string; json?: string }>()

const say = (line: string) => void process.stderr.write(`${line}\n`)
const { sizes, entries } = options.smoke ? SMOKE : WHOLE
const rounds = options.smoke ? 1 : Math.max(1, Number(options.rounds) || 1)
// "10,000 jobs" is the name of a workload, and also part of other names.
const isNamed = entries.some(({ workload }) => workload.name === options.only)
const isAsked = (name: string) => (isNamed ? name === options.only : name.includes(options.only))
const asked = entries
  .filter(({ workload }) => isAsked(workload.name))
  .map(({ workload, players }) => ({
    workload,
    players: players.filter(({ subject }) => options.peers || subject.role !== 'peer'),
  }))

/** What `--json` writes. */
interface Measured {
  readonly facts: readonly string[]
  readonly skipped: readonly string[]
  readonly rows: readonly Row[]
}
// Read first, so that a missing file ends the benchmark now and not after an hour of measuring.
const rest: Measured | null = options.rest === undefined ? null : JSON.parse(await readFile(options.rest, 'utf8'))

const ready = new Set<Subject>()
const skipped: string[] = [...(rest?.skipped ?? [])]
for (const subject of new Set(asked.flatMap(({ players }) => players.map((player) => player.subject)))) {
  if (subject.role === 'peer') say(`${subject.name}: installing missing packages`)
  const reason = await subject.prepare()
  if (reason === null) ready.add(subject)
  else if (!skipped.includes(`${subject.name}: ${reason}`)) skipped.push(`${subject.name}: ${reason}`)
}
for (const line of skipped) say(`NOT RUN: ${line}`)

await using server = await openServer()
// The subject under measurement ends by itself once the simulator and the database are gone.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await server[Symbol.asyncDispose]()
    process.exit(1)
  })
}
const measured: Row[] = []
for (const { workload, players } of asked) {
  const able = players.filter(({ subject }) => ready.has(subject))
  measured.push(...(await playRounds(server, { workload, players: able }, { rounds, say })))
}

const names = asked.map(({ workload }) => workload.name)
const left = rest?.rows.filter(({ workload }) => !names.includes(workload)) ?? []
// In the order of the plan, old and new measurements alike.
const rows = entries.flatMap(({ workload: { name } }) => [...measured, ...left].filter((row) => row.workload === name))
const chart = toGrowthChart(rows)
const facts =
  rest === null
    ? toFacts({ rounds, postgres: server.version, subjects: [...ready] })
    : [...rest.facts, `Measured again later, apart from the others: ${names.join('; ')}.`]
if (chart !== null) await writeFile(join(dirname(options.out), 'growth.svg'), chart)
await writeFile(options.out, toMarkdown(rows, { facts, skipped, sizes, chart: chart === null ? null : 'growth.svg' }))
if (options.json !== undefined) await writeFile(options.json, JSON.stringify({ facts, skipped, sizes, rows }))
say(`written: ${options.out}`)

const faults = faultsOf(rows)
for (const fault of faults) say(`WRONG: ${fault}`)
process.exitCode = faults.length === 0 && rows.length > 0 ? 0 : 1
