import type { Contender, FreshnessWorkload } from './freshness/freshness.js'
import type { Player } from './run.js'
import type { StandingStill } from './standing-still.js'
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
  show,
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
  readonly freshness: FreshnessPlan
  readonly standing: readonly { readonly workload: StandingStill; readonly others: readonly Subject[] }[]
}

export interface FreshnessPlan {
  /** Runs of each subject as it is installed, on the first workload that it plays. */
  readonly installedRuns: number
  /** The workloads of a group run side by side, one group after the other. */
  readonly groups: readonly (readonly {
    readonly workload: FreshnessWorkload
    readonly contenders: readonly Contender[]
  }[])[]
}

/** What a caller may change in the whole plan. */
export interface FreshnessSizes {
  readonly speed: number
  /** The lists, each with the hours for which its ages are sampled. */
  readonly lists: readonly { readonly jobs: number; readonly hours: number }[]
}

export const FRESHNESS_SIZES: FreshnessSizes = {
  speed: 60,
  lists: [
    { jobs: 20_000, hours: 6 },
    { jobs: 100_000, hours: 9 },
  ],
}

const row = handWritten('row')
const transaction = handWritten('transaction')
const limits = [fetchLimit, copyLimit]

const SIZES = { small: 10_000, large: 100_000, huge: 1_000_000 }

const ARRIVALS = 10

const EVERY_FIVE_MINUTES: Contender = { name: ours.name, subject: ours, everyMinutes: 5, remedy: null }
const EVERY_MINUTE: Contender = { ...EVERY_FIVE_MINUTES, name: `${ours.name}, every minute`, everyMinutes: 1 }
const SCRIPT = again(transaction, 'a wait for Retry-After added')
const MOSTLY_IDLE: readonly Contender[] = [
  EVERY_FIVE_MINUTES,
  EVERY_MINUTE,
  again(dlt, '20 attempts; it waits as Retry-After says by itself'),
  again(singer, '`backoff_runtime` with Retry-After, 20 tries'),
  again(airbyte, '`WaitTimeFromHeader` with Retry-After, 20 retries'),
]

/**
 * For each list two groups: the subjects that mostly wait have the limit to themselves in the first and share it in the
 * second; the script, which uses a core, the other way round. So the machine is never full.
 */
export function toFreshnessPlan({ speed, lists }: FreshnessSizes): FreshnessPlan {
  const groups = lists.flatMap(({ jobs, hours }) => {
    const free = freshness({ jobs, speed, arrivals: ARRIVALS, isShared: false, hours })
    const shared = freshness({ jobs, speed, arrivals: ARRIVALS, isShared: true, hours })
    return [
      [
        { workload: free, contenders: MOSTLY_IDLE },
        { workload: shared, contenders: [SCRIPT] },
      ],
      [
        { workload: shared, contenders: MOSTLY_IDLE },
        { workload: free, contenders: [SCRIPT] },
      ],
    ]
  })
  return { installedRuns: 3, groups }
}

/**
 * The whole benchmark. Slow subjects play fewer steps or smaller lists, so that each part ends within an hour. All workloads use
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
  freshness: toFreshnessPlan(FRESHNESS_SIZES),
  standing: [
    {
      workload: standing({ jobs: 20_000, ticks: 288, speed: 288, measuredRuns: 6 }),
      others: [dlt, singer, airbyte, transaction],
    },
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
  freshness: {
    installedRuns: 0,
    groups: [
      [
        {
          workload: freshness({ jobs: 500, speed: 288, arrivals: 2, isShared: false, hours: 0.75 }),
          contenders: [EVERY_FIVE_MINUTES],
        },
      ],
    ],
  },
  standing: [],
}

function all(...subjects: readonly Subject[]): Player[] {
  return subjects.map((subject) => ({ subject, steps: null }))
}

function only(steps: readonly string[], ...subjects: readonly Subject[]): Player[] {
  return subjects.map((subject) => ({ subject, steps }))
}

function again(subject: Subject, remedy: string): Contender {
  return { name: subject.name, subject, everyMinutes: null, remedy }
}

function freshness(sizes: Omit<FreshnessWorkload, 'name'>): FreshnessWorkload {
  const limit = sizes.isShared ? 'half of the limit used by others' : 'the limit to itself'
  return { name: `freshness, ${show(sizes.jobs)} jobs, ${limit}`, ...sizes }
}

function standing(sizes: Omit<StandingStill, 'name'>): StandingStill {
  return { name: `standing still, ${show(sizes.jobs)} jobs`, ...sizes }
}
