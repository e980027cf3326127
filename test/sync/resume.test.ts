import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { SYNC_SIZES } from '../../src/config/scale.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { startCli } from '../support/cli.js'
import { sync } from '../support/cli-sync.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, type ObservedRun, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

/**
 * At most a chunk under way, one that waits, and a window that is not full; the page above the bottom; the head before
 * and after. As a rule it is half of that: only against a server without latency the merges fall so far behind.
 */
const MOST_REPEATED = 3 * 6 + 3

const PAGES = 100

/** A simulator whose `at`th request waits for `hook`. */
function simulatorThatHooks(at: number, hook: () => void | Promise<void>, options: SimulatorOptions = {}) {
  return startSimulator({
    jobs: PAGES * 50,
    rateLimit: 'off',
    ...options,
    beforeAnswer: ({ number }) => (number === at ? hook() : undefined),
  })
}

const lastRun = async () =>
  (await database.sql('SELECT mode, status, error_code AS code FROM spidra.sync_runs ORDER BY id DESC LIMIT 1'))[0]

async function expectResumed(
  simulator: Simulator,
  second: Pick<ObservedRun, 'summary' | 'requests'>,
  readBefore: number,
) {
  expect(second.summary).toMatchObject({ status: 'complete', mode: 'full', storedTotal: simulator.account.total })
  expect(second.requests, 'repeated').toBeLessThanOrEqual(PAGES - readBefore + MOST_REPEATED)
  expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
}

describe('a first pass that is cut off goes on from its bottom', () => {
  test('after an abort', async () => {
    const stopper = new AbortController()
    await using simulator = await simulatorThatHooks(70, () => stopper.abort(new Error('stop')))
    const first = await runAgainst(simulator, database, { signal: stopper.signal })
    expect(first.summary.status).toBe('aborted')

    const second = await runAgainst(simulator, database)

    await expectResumed(simulator, second, 69)
  })

  test('after kill -9', async () => {
    const dying: { kill?: () => void } = {}
    await using simulator = await simulatorThatHooks(70, () => dying.kill?.(), { latencyMs: 5 })
    await using cli = await startCli(['sync', '--json'], { env: envOf(simulator) })
    dying.kill = () => cli.kill('SIGKILL')
    expect(await cli.ended).toMatchObject({ code: null, signal: 'SIGKILL' })
    expect(await lastRun()).toMatchObject({ status: 'running' })
    const before = simulator.requestCount

    const { code, summary } = await sync(simulator, database, envOf(simulator))

    expect(code).toBe(0)
    expect(summary).toMatchObject({ status: 'complete', mode: 'full', storedTotal: PAGES * 50 })
    expect(simulator.requestCount - before).toBeLessThanOrEqual(PAGES - before + MOST_REPEATED)
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  })

  test('after the database ended every connection', async () => {
    await using simulator = await simulatorThatHooks(70, async () => {
      // A merge is under way, so that its statement is lost: an idle connection is replaced without a failure.
      await using _lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
      await untilBlocked(database)
      await endConnections()
    })
    const first = await runAgainst(simulator, database)
    expect(first.summary.status).toMatch(/^(aborted|failed)$/)
    expect(first.error).not.toBeNull()

    const second = await runAgainst(simulator, database)

    await expectResumed(simulator, second, 69)
  })

  test('also where new jobs came and others went meanwhile', async () => {
    const stopper = new AbortController()
    await using simulator = await simulatorThatHooks(70, () => stopper.abort(new Error('stop')))
    await runAgainst(simulator, database, { signal: stopper.signal })
    const uuids = [...simulator.account.allUuids()]
    for (const index of [10, 1_111, 4_000]) simulator.account.removeJob(uuids[index] ?? '')
    for (let count = 0; count < 120; count += 1) simulator.account.addJob({ status: 'completed' })

    const second = await runAgainst(simulator, database)

    expect(second.summary.status).toBe('complete')
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  })

  test('cut off again and again it still comes to its end', async () => {
    await using simulator = await startSimulator({ jobs: PAGES * 50, rateLimit: 'off' })
    let runs = 0
    let last: ObservedRun | null = null
    while (last?.summary.status !== 'complete') {
      const stopper = new AbortController()
      const limit = simulator.requestCount + 40
      last = await runAgainst(simulator, database, {
        signal: stopper.signal,
        onPage: () => void (simulator.requestCount >= limit && stopper.abort(new Error('stop'))),
      })
      runs += 1
      expect(runs).toBeLessThan(12)
      await turn()
    }
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  })
})

describe('a later full pass that is cut off', () => {
  const position = async () =>
    (
      await database.sql<{ at: string | null; startedAt: Date | null }>(
        'SELECT full_created_at::text AS at, full_started_at AS "startedAt" FROM spidra.sync_state',
      )
    )[0]

  test('makes the next run full, which goes on from its position and ends complete', async () => {
    const stopper = new AbortController()
    const [latencyMs, savePositionMs] = [6, 200]
    await using simulator = await simulatorThatHooks(80, () => stopper.abort(new Error('stop')), { latencyMs })
    await loadTable(simulator, database)
    await runAgainst(simulator, database, { mode: 'full', timing: { savePositionMs }, signal: stopper.signal })
    const cut = await position()
    expect(cut).toMatchObject({ at: expect.any(String), startedAt: expect.any(Date) })

    const second = await runAgainst(simulator, database)

    // Beside what was on its way to the table it reads again what it read since it last saved its position.
    await expectResumed(simulator, second, 80 - savePositionMs / latencyMs)
    expect(second.pages[0]).toBe(1)
    expect(await position()).toEqual({ at: null, startedAt: null })
    expect(await database.sql('SELECT reread_since AS at FROM spidra.sync_state')).toEqual([{ at: cut?.startedAt }])
    expect((await runAgainst(simulator, database)).summary.mode).toBe('incremental')
  })

  test('finds what was removed above and below its position', async () => {
    await using simulator = await startSimulator({ jobs: PAGES * 50, rateLimit: 'off' })
    await loadTable(simulator, database)
    await database.sql(`UPDATE spidra.sync_state SET full_started_at = now(), full_created_at =
      (SELECT created_at FROM spidra.batch_jobs ORDER BY created_at DESC OFFSET 3000 LIMIT 1)`)
    const uuids = [...simulator.account.allUuids()]
    for (const index of [333, 4_444]) simulator.account.removeJob(uuids[index] ?? '')

    const second = await runAgainst(simulator, database)

    expect(second.summary).toMatchObject({ status: 'complete', removed: 2 })
  })
})

test('a full pass reads head and open jobs again in between', async () => {
  await using simulator = await startSimulator({ jobs: PAGES * 50, rateLimit: 'off' })
  await loadTable(simulator, database)
  const open = [...simulator.account.allUuids()].at(2_468) ?? ''
  simulator.account.updateJob(open, { status: 'running' })
  await database.sql(`UPDATE spidra.batch_jobs SET status = 'running' WHERE uuid = $1`, [open])

  const { summary, pages, requests } = await runAgainst(simulator, database, { mode: 'full', timing: { refreshMs: 0 } })

  expect(summary.status).toBe('complete')
  const heads = pages.flatMap((page, index) => (page === 1 ? [index] : []))
  expect(heads.length).toBeGreaterThanOrEqual(5)
  // At least twenty pages lie between.
  expect(requests).toBeLessThan(PAGES * 1.25)
  const openPage = Math.floor(2_468 / 50) + 1
  expect(pages.filter((page) => page === openPage).length).toBeGreaterThanOrEqual(4)
})

test('in a long full pass open jobs are read in turn where the allowance is too small for all of them', async () => {
  await using simulator = await startSimulator({ jobs: 3_000, rateLimit: 'off' })
  await loadTable(simulator, database)
  const open = [...simulator.account.allUuids()].filter((_, place) => [210, 260, 310, 360, 410].includes(place))
  const update = (completedCount: number) => {
    for (const uuid of open) simulator.account.updateJob(uuid, { status: 'running', totalUrls: 50, completedCount })
  }
  update(1)
  await database.sql(`UPDATE spidra.batch_jobs SET status = 'running' WHERE uuid = ANY($1)`, [open])
  const stopping = new AbortController()

  await runAgainst(simulator, database, {
    ...{ mode: 'full', pagesPerRun: 2, signal: stopping.signal },
    timing: { refreshMs: 0 },
    sizes: { ...SYNC_SIZES, minSlicePages: 3 },
    onPage({ number }) {
      if (number === 20) update(7)
      if (number === 55) stopping.abort()
    },
  })

  const rows = await database.sql('SELECT completed_count AS count FROM spidra.batch_jobs WHERE uuid = ANY($1)', [open])
  expect(rows).toEqual(open.map(() => ({ count: 7 })))
})

function envOf(simulator: Simulator): Record<string, string> {
  return {
    SPIDRA_API_KEY: simulator.key,
    SPIDRA_API_URL: simulator.url,
    DATABASE_URL: database.url,
    RATE_LIMIT_REQUESTS: 'off',
  }
}

async function endConnections(): Promise<void> {
  await database.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()`)
}
