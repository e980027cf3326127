import { expect, test } from 'vitest'
import { shareTestDatabase } from '../support/shared-database.js'
import { type SteppedOptions, startSteppedList } from '../support/stepped-list.js'
import { makeSweepDue, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

/** `npm run check` tries one seed with a few requests' pace. `npm run torture` tries more of both. */
const SEEDS = (process.env.LAG_SEEDS ?? '1').split(',').map(Number)
const IS_LONG = SEEDS.length > 1

const RUNS = 40
/** Two answers of four kinds of step: quick ones in a row, a wait for the network, a wait of nearly the lag. */
const UNEVEN = [10, 350, 900, 120]
const CAPPED = { jobs: 300, cap: 300, arrivalsPerMinute: 60, ties: 0.2 }

async function removedUuids(): Promise<readonly string[]> {
  const rows = await database.sql<{ uuid: string }>(
    'SELECT uuid::text AS uuid FROM spidra.batch_jobs WHERE removed_at IS NOT NULL',
  )
  return rows.map(({ uuid }) => uuid)
}

/**
 * Full and incremental runs in turn, each checked against every version that the list has had.
 *
 * @returns how many of the runs were complete.
 */
async function runMixed({
  lagMs,
  runs = RUNS,
  ...options
}: SteppedOptions & { readonly lagMs: number; readonly runs?: number }): Promise<number> {
  await using list = await startSteppedList({ ...options, backends: { count: 2, lagMs } })
  let complete = 0
  for (let run = 0; run < runs; run += 1) {
    const startedAt = list.instant
    if (run % 5 === 1) await makeSweepDue(database)
    else await noteSweep(database)

    const { summary } = await runAgainst(list.simulator, database, { mode: run % 2 === 0 ? 'full' : 'incremental' })

    const told = `run ${run}, ${summary.mode}, ${summary.status} ${summary.reason}`
    if (summary.status === 'complete') {
      complete += 1
      expect(list.hasBeen(await storedUuids(database), startedAt - lagMs), `${told}: the stored set`).toBe(true)
    }
    const { listed } = list
    expect(
      (await removedUuids()).filter((uuid) => listed.has(uuid)),
      `${told}: listed and removed`,
    ).toEqual([])
    list.pass(lagMs / 3)
  }
  return complete
}

for (const seed of SEEDS) {
  const steps = IS_LONG ? [[30], [400], UNEVEN] : [UNEVEN]
  test.each(steps.flatMap((one) => [1_000, 2_000].map((lagMs) => ({ lagMs, steps: one }))))(
    `a list capped at 300, 1 arrival a second, half of the answers $lagMs ms behind, requests $steps ms apart: no false complete, and half are complete (seed ${seed})`,
    { timeout: 300_000 },
    async (pace) => {
      expect(await runMixed({ ...CAPPED, seed, ...pace, resolutionMs: 40 })).toBeGreaterThanOrEqual(RUNS / 2)
    },
  )

  test(`a list that loses nothing, half of the answers a second behind: never false, and half are complete (seed ${seed})`, {
    timeout: 300_000,
  }, async () => {
    const options = { seed, jobs: 300, arrivalsPerMinute: 60, ties: 0.2, steps: UNEVEN, resolutionMs: 40 }

    expect(await runMixed({ ...options, lagMs: 1_000, runs: 10 })).toBeGreaterThanOrEqual(5)
  })

  if (IS_LONG) {
    test.each([0.2, 5])(
      `a capped list with %d arrivals a second, half of the answers two seconds behind: never false (seed ${seed})`,
      { timeout: 300_000 },
      async (perSecond) => {
        const arrivalsPerMinute = 60 * perSecond

        await runMixed({ ...CAPPED, seed, arrivalsPerMinute, steps: [150], resolutionMs: 10, lagMs: 2_000 })
      },
    )

    test(`a list that loses its oldest jobs, half of the answers behind: never false (seed ${seed})`, {
      timeout: 300_000,
    }, async () => {
      const options = { seed, jobs: 400, arrivalsPerMinute: 60, removalsPerMinute: 50, removalsFrom: 'tail' } as const

      await runMixed({ ...options, ties: 0.2, steps: [40, 200, 90], resolutionMs: 2, lagMs: 1_000 })
    })
  }
}
