import { readdir, readFile } from 'node:fs/promises'
import type { TestDatabase } from '../support/test-database.js'

/** The resources that a process uses at one moment. */
export interface Vitals {
  /** Resident memory in MB; null without /proc. */
  readonly rssMb: number | null
  /** Open file descriptors; null without /proc. */
  readonly descriptors: number | null
  /** Connections to Postgres. */
  readonly connections: number
}

/** The median of each quarter of the samples; null if nothing was measured. */
export type Quarters = readonly (number | null)[]

/** @param role the database role that the process connects with. */
export async function readVitals({ sql }: TestDatabase, pid: number, role: string): Promise<Vitals> {
  const [row] = await sql<{ connections: number }>(
    'SELECT count(*)::integer AS connections FROM pg_stat_activity WHERE usename = $1',
    [role],
  )
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => null)
  return {
    rssMb: kilobytes === undefined ? null : Number(kilobytes) / 1024,
    descriptors: descriptors?.length ?? null,
    connections: row?.connections ?? 0,
  }
}

export function quartersOf(samples: readonly Vitals[], what: keyof Vitals): Quarters {
  const size = Math.ceil(samples.length / 4)
  return [0, 1, 2, 3].map((quarter) => median(samples.slice(quarter * size, (quarter + 1) * size), what))
}

function median(samples: readonly Vitals[], what: keyof Vitals): number | null {
  const values = samples.flatMap((sample) => sample[what] ?? []).sort((one, other) => one - other)
  return values[values.length >> 1] ?? null
}

/** Names the resources whose median grew from the third quarter to the fourth by more than the margin. */
export function growth(samples: readonly Vitals[], margins: Readonly<Record<keyof Vitals, number>>): readonly string[] {
  const kinds = ['rssMb', 'descriptors', 'connections'] as const
  return kinds.flatMap((what) => {
    const [, , third = null, fourth = null] = quartersOf(samples, what)
    if (third === null || fourth === null || fourth - third <= margins[what]) return []
    return `${what} went from ${third.toFixed(0)} to ${fourth.toFixed(0)}`
  })
}
