import { expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { makeSweepDue, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

const WARNING = 'pages cannot be read so that they overlap: no run can prove that it is complete'
const LIMITS = [50, 20] as const
const LOSSES = [[300, 420], [-1, -2, -3], [0], [5, 66, 127, 188]] as const

function removeAt({ account }: Simulator, places: readonly number[]): void {
  const uuids = [...account.allUuids()]
  for (const place of places) account.removeJob(uuids.at(place) ?? '')
}

async function wronglyRemoved({ account }: Simulator): Promise<number> {
  const rows = await database.sql<{ uuid: string }>(
    'SELECT uuid::text AS uuid FROM spidra.batch_jobs WHERE removed_at IS NOT NULL',
  )
  const listed = new Set(account.allUuids())
  return rows.filter(({ uuid }) => listed.has(uuid)).length
}

test.each(LIMITS)('fixed pages of %i jobs, nothing lost: complete, with arrivals too', async (fixedLimit) => {
  await using simulator = await startSimulator({ jobs: 700, fixedLimit, rateLimit: 'off' })

  for (const added of [0, 1, 70, 0]) {
    for (let job = 0; job < added; job += 1) simulator.account.addJob({ status: 'completed' })
    const { summary } = await runAgainst(simulator, database, { mode: added === 1 ? 'full' : 'incremental' })
    expect(summary).toMatchObject({ status: 'complete', storedTotal: simulator.account.total })
    await noteSweep(database)
  }
  expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
})

test.each(LIMITS)(
  'fixed pages of %i jobs of a list that loses some: never complete, one warning a run, and no listed job is removed',
  async (fixedLimit) => {
    await using simulator = await startSimulator({ jobs: 700, fixedLimit, rateLimit: 'off', ties: 0.2 })
    expect((await runAgainst(simulator, database)).summary.status).toBe('complete')

    for (const places of LOSSES) {
      removeAt(simulator, places)
      simulator.account.addJob({ status: 'completed' })
      await makeSweepDue(database)
      await runAgainst(simulator, database)

      const { summary, warnings } = await runAgainst(simulator, database, { mode: 'full' })

      const told = `${places}: ${summary.removed} removed, ${summary.listedTotal} listed, ${summary.storedTotal} stored`
      // A job that went between two pages is enclosed by neither of them, so that the table may keep one too many.
      expect(summary.status, told).toBe('partial')
      expect(summary.reason, told).toBeOneOf(['assumption_broken', 'more_stored_than_listed'])
      expect(
        warnings.filter((warning) => warning === WARNING),
        told,
      ).toHaveLength(1)
      expect(await wronglyRemoved(simulator), told).toBe(0)
    }
    const stored = await storedUuids(database)
    expect([...simulator.account.allUuids()].filter((uuid) => !stored.has(uuid))).toEqual([])
  },
)
