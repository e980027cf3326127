import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { createCliDatabase } from '../support/cli-database.js'
import { completeAccounts, createFleet, differences } from '../support/fleet.js'
import { LOOPBACK_NOTE, ownLoopback } from '../support/own-loopback.js'
import { PATIENCE } from '../support/service.js'

/** `npm run torture` sets them higher. */
const ACCOUNTS = Number(process.env.FLEET_ACCOUNTS ?? 24)
const WINDOWS = Number(process.env.FLEET_WINDOWS ?? 3)

const WINDOW_MS = 6_000
const LIMIT = 60

/** Half of the limit is for the fleet. An account has as many pages as one worker may read in one window. */
const JOBS = (LIMIT / 2) * 50

/** Measures what a fleet of workers, each at its own address, reads in some windows, and how its requests were answered. */
async function pagesRead(workers: number): Promise<{ pages: number; refused: number }> {
  await using database = await createCliDatabase()
  const rateLimit = { limit: LIMIT, windowMs: WINDOW_MS }
  await using api = await startSimulator({
    jobs: JOBS,
    accounts: ACCOUNTS,
    rateLimit,
    arrivalsPerMinute: 0,
    requestsKept: 1e5,
  })
  await using fleet = await createFleet(api, database)
  await fleet.startScheduler()
  await expect
    .poll(
      () =>
        database.sql('SELECT FROM spidra_queue.job').then(
          (rows) => rows.length,
          () => 0,
        ),
      PATIENCE,
    )
    .toBe(ACCOUNTS)
  await Promise.all(Array.from({ length: workers }, (_, index) => fleet.startWorker(index + 2)))
  await expect.poll(() => new Set(api.requests.map(({ address }) => address)).size, PATIENCE).toBe(workers)

  // Counts from the start of the last worker's first run, so that no start-up of a process counts.
  const from = Date.now()
  const until = from + WINDOWS * WINDOW_MS
  await expect.poll(() => Date.now() > until, { timeout: 2 * WINDOWS * WINDOW_MS, interval: 50 }).toBe(true)
  const asked = api.requests.filter(({ at }) => at >= from && at < until)
  return {
    pages: asked.filter(({ status }) => status === 200).length,
    refused: asked.filter(({ status }) => status === 429).length,
  }
}

test.runIf(ownLoopback)(
  `three workers at three addresses read at least 2.7 times the pages of one, and meet no 429${LOOPBACK_NOTE}`,
  { timeout: 120_000 + 4 * WINDOWS * WINDOW_MS },
  async () => {
    const one = await pagesRead(1)
    const three = await pagesRead(3)

    expect({ ...three, ratio: three.pages / one.pages, alone: one.pages }).toMatchObject({ refused: 0 })
    expect(three.pages / one.pages, JSON.stringify({ one, three })).toBeGreaterThanOrEqual(2.7)
  },
)

test.runIf(ownLoopback)(
  `every account of a fleet becomes complete, one run at a time, and the fleet ends in order${LOOPBACK_NOTE}`,
  { timeout: 120_000 },
  async () => {
    await using database = await createCliDatabase()
    await using api = await startSimulator({ jobs: 400, accounts: 12, rateLimit: 'off', arrivalsPerMinute: 0 })
    await using fleet = await createFleet(api, database, { RATE_LIMIT_REQUESTS: 'off' })
    await Promise.all([fleet.startScheduler(), fleet.startWorker(2), fleet.startScheduler(), fleet.startWorker(3)])

    await expect.poll(() => completeAccounts(database), PATIENCE).toBe(12)
    expect(await differences(database, api)).toEqual([])
    for (const one of fleet.processes) one.kill('SIGTERM')
    for (const one of fleet.processes) expect(await one.ended).toMatchObject({ code: 0, stderr: '' })
    expect(await database.sql('SELECT worker FROM spidra.workers')).toEqual([])
    expect(await database.sql("SELECT id FROM spidra.sync_runs WHERE status = 'running'")).toEqual([])
    expect(new Set(api.requests.map(({ address }) => address))).toEqual(new Set(['127.0.0.2', '127.0.0.3']))
  },
)
