// Measures spidra-sync beside what one would use instead, and writes bench/report.md. See `npm run bench -- --help`.
import { writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { openServer } from './postgres.js'
import { toMarkdown } from './report.js'
import { playRounds, type Row } from './run.js'
import { airbyte } from './subjects/airbyte.js'
import { dlt } from './subjects/dlt.js'
import { handWritten } from './subjects/hand-written.js'
import { copyLimit, fetchLimit } from './subjects/limits.js'
import { ours } from './subjects/ours.js'
import { singer } from './subjects/singer.js'
import { stripeSync } from './subjects/stripe-sync.js'
import type { Subject } from './subjects/subject.js'
import { interrupted, limited, loadAndReload, underChurn, type Workload } from './workloads.js'

const { rounds, smoke, peers, out } = new Command('npm run bench --')
  .option('--rounds <number>', 'rounds of each workload', '5')
  .option('--smoke', 'small, quick, without peers: does it run, and is the data right?', false)
  .option('--no-peers', 'leave out what has to be installed first, from npm and PyPI')
  .option('--out <file>', 'where the report goes', fileURLToPath(new URL('report.md', import.meta.url)))
  .parse()
  .opts<{ rounds: string; smoke: boolean; peers: boolean; out: string }>()

const say = (line: string) => void process.stderr.write(`${line}\n`)
const us = ours('full')
const scripts = [handWritten('row'), handWritten('transaction')]
const fromElsewhere: Subject[] = []
const skipped: string[] = []
for (const peer of peers && !smoke ? [stripeSync, dlt, singer, airbyte] : []) {
  say(`installing ${peer.name} where it is not there yet`)
  const reason = await peer.prepare()
  if (reason === null) fromElsewhere.push(peer)
  else skipped.push(`${peer.name}: ${reason}`)
}

const slow = [us, ...scripts, ...fromElsewhere, fetchLimit, copyLimit]
const fast = [us, ...fromElsewhere, fetchLimit, copyLimit]
const plan: readonly { readonly workload: Workload; readonly subjects: readonly Subject[] }[] = smoke
  ? [
      { workload: loadAndReload(1_000), subjects: [us, ...scripts, fetchLimit, copyLimit] },
      { workload: underChurn(1_000), subjects: [us] },
      { workload: interrupted(2_000), subjects: [us] },
    ]
  : [
      { workload: loadAndReload(10_000), subjects: slow },
      { workload: loadAndReload(10_000, { latencyMs: 50, concurrency: 8 }), subjects: fast },
      { workload: loadAndReload(100_000), subjects: fast },
      { workload: underChurn(10_000), subjects: [us, ...scripts, ...fromElsewhere] },
      { workload: limited(30_000, 10_000), subjects: [us, ...fromElsewhere] },
      { workload: interrupted(100_000), subjects: [us, ...fromElsewhere] },
    ]

await using server = await openServer()
const rows: Row[] = []
for (const { workload, subjects } of plan) {
  rows.push(...(await playRounds(server, workload, subjects, { rounds: smoke ? 1 : Number(rounds), say })))
}
const facts = [
  `Rounds: ${smoke ? 1 : rounds}. Node ${process.versions.node}, Postgres ${server.version} with its usual settings (autovacuum off).`,
  `Machine: ${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB; simulator, client and Postgres share them.`,
]
await writeFile(out, toMarkdown(rows, facts, skipped))
say(`written: ${out}`)

// Speed is looked at, correctness is asked for: whatever was run to its end must hold exactly what is listed.
const wrong = rows.filter(({ subject, step, measurements }) => {
  if (subject !== us.name || step === 'killed') return false
  return measurements.some(
    ({ code, truth }) => code !== 0 || truth === null || truth.missing + truth.stale + truth.extra > 0,
  )
})
for (const { workload, step, measurements } of wrong) {
  say(
    `WRONG: ${workload}: ${step}: ${JSON.stringify(measurements.map(({ code, truth, output }) => ({ code, truth, output })))}`,
  )
}
process.exitCode = wrong.length === 0 ? 0 : 1
