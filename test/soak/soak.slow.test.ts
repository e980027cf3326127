import { expect, test } from 'vitest'
import { runSoak } from './soak.js'
import { toSummaryTable } from './summary.js'

/** Set by `npm run soak -- --minutes N`. Without it the short form runs, with every phase once. */
const MINUTES = process.env.SOAK_MINUTES === undefined ? null : Number(process.env.SOAK_MINUTES)
const SEED = Number(process.env.SOAK_SEED ?? 1)

/**
 * How much memory may grow, in MB. In the short form the service still fills its pools and caches, so the margin is
 * wide. After some minutes only the sawtooth of garbage collection remains, a few MB. A leak of one page per request
 * (50 jobs, some 30 kB) adds 1 MB per 30 requests.
 */
const RSS_MARGIN_MB = { short: 32, long: 16 }

const say = (line: string) => void process.stdout.write(`${line}\n`)

test('with all faults at once: no wrong complete, no crash, no leak, no secret shown, and the first run after them is complete', {
  timeout: (MINUTES ?? 0) * 60_000 + 600_000,
}, async () => {
  const result = await runSoak(
    MINUTES === null
      ? { minutes: 0.6, seed: SEED, jobs: 400, rssMarginMb: RSS_MARGIN_MB.short, onProgress: () => {} }
      : { minutes: MINUTES, seed: SEED, jobs: 1_200, rssMarginMb: RSS_MARGIN_MB.long, onProgress: say },
  )

  const table = toSummaryTable(result)
  if (MINUTES !== null) say(table)
  expect(result.failures, table).toEqual([])
})
