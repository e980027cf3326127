import { expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { makeSweepDue, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

function addJobs({ account }: Simulator, count: number): void {
  for (let added = 0; added < count; added += 1) account.addJob({ status: 'completed' })
}

/**
 * Requests of a first load; of an incremental run and of a full one when nothing has changed; of an incremental run with
 * a page and with three pages of new jobs; of a full run with as many.
 *
 * None is more than before pages were read so that they overlap, but for the first load of more than one page, which
 * asks for page 1 once more.
 */
test.each([
  { jobs: 60, first: 4, steady: 3, full: 3, page: 4, pages: 5, fullPage: 8, fullPages: 11 },
  { jobs: 500, first: 12, steady: 1, full: 11, page: 2, pages: 4, fullPage: 16, fullPages: 19 },
  { jobs: 2_000, first: 42, steady: 1, full: 41, page: 2, pages: 4, fullPage: 46, fullPages: 49 },
  { jobs: 20_000, first: 402, steady: 1, full: 401, page: 2, pages: 4, fullPage: 406, fullPages: 409 },
])(
  'a list of $jobs jobs that loses nothing costs no more requests than it has to',
  { timeout: 60_000 },
  async ({ jobs, ...expected }) => {
    await using simulator = await startSimulator({ jobs, rateLimit: 'off' })
    const run = async (newJobs: number, mode: 'full' | 'incremental') => {
      addJobs(simulator, newJobs)
      const { summary, requests } = await runAgainst(simulator, database, { mode })
      expect(summary.status).toBe('complete')
      await noteSweep(database)
      return requests
    }

    const requests = {
      first: await run(0, 'incremental'),
      steady: await run(0, 'incremental'),
      full: await run(0, 'full'),
      page: await run(50, 'incremental'),
      pages: await run(150, 'incremental'),
      fullPage: await run(50, 'full'),
      fullPages: await run(150, 'full'),
    }

    expect(requests).toEqual(expected)
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  },
)

test('a slice of the sweep costs its pages and the head', async () => {
  await using simulator = await startSimulator({ jobs: 3_000, rateLimit: 'off' })
  await runAgainst(simulator, database)
  await makeSweepDue(database)

  expect(await runAgainst(simulator, database)).toMatchObject({ requests: 21, summary: { status: 'complete' } })
})
