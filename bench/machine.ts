import { availableParallelism, cpus, totalmem } from 'node:os'
import type { Subject } from './subjects/subject.js'

/** What a reader has to know to compare figures: when, on what, and with which versions. */
export function toFacts(options: {
  readonly rounds: number
  readonly postgres: string
  readonly subjects: readonly Subject[]
}): string[] {
  const { rounds, postgres, subjects } = options
  const versions = [...new Set(subjects.map((subject) => subject.versions))].join(', ')
  return [
    `Date: ${new Date().toISOString().slice(0, 10)}. Rounds: ${rounds}.`,
    `Machine: ${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; simulator, client and Postgres share them.`,
    `Node ${process.versions.node}; Postgres ${postgres} with its usual settings, autovacuum off.`,
    `Versions: ${versions}.`,
  ]
}
