import { expect, test } from 'vitest'
import { runSoak } from './soak.js'
import { toSummaryTable } from './summary.js'

/** `npm run soak -- --minutes N` sets it. `npm run check` takes the short form: every phase once. */
const MINUTES = process.env.SOAK_MINUTES === undefined ? null : Number(process.env.SOAK_MINUTES)
const SEED = Number(process.env.SOAK_SEED ?? 1)

/**
 * A service that has just started still fills its pools and caches; only growth by the half of it would stand out. After
 * some minutes what is left is the sawtooth of garbage, a few MB. A leak of one page a request, 50 jobs or some 30 kB as
 * they lie in memory, adds as many MB in a quarter of twenty minutes as there are requests by 30.
 */
const RSS_MARGIN_MB = { short: 32, long: 16 }

const say = (line: string) => void process.stdout.write(`${line}\n`)

test('all faults at once: no wrong complete, no crash, no leak, no secret, and complete in the first run after', {
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
