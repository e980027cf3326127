import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { sync } from '../support/cli-sync.js'

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
