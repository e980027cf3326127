import type { Player } from './run.js'
import { handWritten } from './subjects/hand-written.js'
import { copyLimit, fetchLimit } from './subjects/limits.js'
import { ours } from './subjects/ours.js'
import { airbyte, dlt, singer, stripeSync } from './subjects/peers.js'
import type { Subject } from './subjects/subject.js'
import {
  ARRIVED,
  FIRST,
  interrupted,
  limited,
  load,
  STEADY,
  UNCHANGED,
  underChurn,
  type Workload,
  withLatency,
} from './workloads.js'

export interface Plan {
  /** Jobs in the lists of the headline and of the targets. */
  readonly sizes: { readonly small: number; readonly large: number; readonly huge: number }
  /** The workloads, each with the subjects that play it. */
  readonly entries: readonly { readonly workload: Workload; readonly players: readonly Player[] }[]
}

const row = handWritten('row')
const transaction = handWritten('transaction')
const limits = [fetchLimit, copyLimit]

const SIZES = { small: 10_000, large: 100_000, huge: 1_000_000 }

/**
 * The whole benchmark. Slow subjects play fewer steps or smaller lists, so that it ends within an hour. All workloads use
 * one request in flight, because the peers support no more.
 */
export const WHOLE: Plan = {
  sizes: SIZES,
  entries: [
    { workload: load(1_000), players: only([FIRST, UNCHANGED, STEADY, ARRIVED], ours) },
    {
      workload: load(SIZES.small),
      players: [
        ...all(ours, dlt, singer, airbyte),
        ...only([FIRST, UNCHANGED], stripeSync, row, transaction),
        ...only([FIRST], ...limits),
      ],
    },
    {
      workload: load(SIZES.large),
      players: [...all(ours), ...only([FIRST, UNCHANGED], dlt, singer), ...only([FIRST], ...limits)],
    },
    {
      workload: load(SIZES.huge),
      players: [...only([FIRST, UNCHANGED, STEADY, ARRIVED], ours), ...only([FIRST], ...limits)],
    },
    {
      workload: withLatency(5_000, 50, 1),
      players: [...all(ours, dlt, singer), ...only([FIRST], airbyte, stripeSync, transaction, fetchLimit)],
    },
    {
      workload: underChurn(SIZES.small),
      players: [...all(ours, dlt, singer), ...only([FIRST], airbyte, stripeSync, row, transaction)],
    },
    { workload: limited(20_000, 5_000), players: all(ours, dlt, singer, airbyte) },
    { workload: interrupted(SIZES.small), players: all(ours, dlt, singer, airbyte, stripeSync, row, transaction) },
    { workload: interrupted(SIZES.large), players: all(ours) },
  ],
}

/** A quick check with small lists and without peers: does everything run, and is the data right? */
export const SMOKE: Plan = {
  sizes: { small: 1_000, large: 1_000, huge: 1_000 },
  entries: [
    { workload: load(1_000), players: [...all(ours), ...only([FIRST], row, transaction, ...limits)] },
    { workload: underChurn(1_000), players: all(ours) },
    // Long enough to tell a resumed run from one that starts from the first page.
    { workload: interrupted(6_000), players: all(ours) },
  ],
}

function all(...subjects: readonly Subject[]): Player[] {
  return subjects.map((subject) => ({ subject, steps: null }))
}

function only(steps: readonly string[], ...subjects: readonly Subject[]): Player[] {
  return subjects.map((subject) => ({ subject, steps }))
}
