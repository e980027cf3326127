import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { createSharedBudget } from '../../src/service/account-run.js'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { sync } from '../support/cli-sync.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { runAgainst } from '../support/sync-runner.js'

const database = await shareTestDatabase()

/** Counts the heartbeats of the run under way, from the one that it begins with. */
function countBeats() {
  const beats = new Set<string>()
  const reading = setInterval(async () => {
    const [row] = await database.sql<{ at: string }>('SELECT heartbeat_at::text AS at FROM spidra.sync_runs')
    if (row !== undefined) beats.add(row.at)
  }, 10)
  return {
    get number() {
      return beats.size
    },
    [Symbol.dispose]: () => clearInterval(reading),
  }
}

test('a run that no longer advances is given up, and the next one is complete', async () => {
  let isHanging = true
  await using api = await startSimulator({
    ...{ jobs: 100, rateLimit: 'off' },
    async beforeAnswer({ number }) {
      if (number === 2 && isHanging) await setTimeout(5_000)
    },
  })
  const options = { mode: 'full', timing: { heartbeatMs: 40 }, longestSilenceMs: 800 } as const

  const { summary, error } = await runAgainst(api, database, options)

  expect([summary.status, error]).toMatchObject(['failed', { code: 'stalled' }])
  expect(summary.durationMs).toBeLessThan(4_500)
  expect(await database.sql('SELECT status, error_code AS code FROM spidra.sync_runs')).toEqual([
    { status: 'failed', code: 'stalled' },
  ])
  isHanging = false
  expect((await runAgainst(api, database, options)).summary.status).toBe('complete')
})

test('a wait that was announced is no silence', async () => {
  using beats = countBeats()
  await using api = await startSimulator({
    ...{ jobs: 400, rateLimit: { limit: 6, windowMs: 1_500, reset: 'epochMs' } },
  })
  const sharedBudget = createSharedBudget({
    timing: TIMING,
    rateLimit: { requests: 6, windowSeconds: 1.5, reserve: 0 },
  })

  const { summary, warnings } = await runAgainst(api, database, {
    ...{ mode: 'full', sharedBudget, timing: { heartbeatMs: 40 }, longestSilenceMs: 300 },
  })

  expect(summary.status).toBe('complete')
  expect(summary.waitedMs).toBeGreaterThan(1_000)
  expect(warnings).toEqual([])
  // Without the announced waits it would be silent for most of its time.
  expect(beats.number).toBeGreaterThan(summary.durationMs / 40 / 3)
})

test('a run under way tells with its heartbeat what it has done so far', { timeout: 90_000 }, async () => {
  await using database = await createCliDatabase()
  const record = () =>
    database.sql('SELECT status, pages_read > 0 AS told, requests > 0 AS asked FROM spidra.sync_runs')
  await using api = await startSimulator({
    ...{ jobs: 200, key: API_KEY, rateLimit: 'off' },
    // No answer before the heartbeat: the client waits longer than that.
    beforeAnswer: async ({ page }) => {
      if (page < 3) return
      await expect.poll(record, { timeout: 60_000 }).toEqual([{ status: 'running', told: true, asked: true }])
    },
  })

  const { code, stderr, summary } = await sync(api, database, { REQUEST_TIMEOUT_MS: '80000' })

  expect([code, stderr]).toEqual([0, expect.any(String)])
  expect(summary).toMatchObject({ status: 'complete', inserted: 200 })
})
