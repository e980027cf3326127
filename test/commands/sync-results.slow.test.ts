import { expect, test } from 'vitest'
import { runCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { serviceEnv, simulateFor } from '../support/service.js'

test('sync reads items with what the list and the reserve leave of a window, and none while it is off', async () => {
  await using database = await createCliDatabase()
  await using api = await simulateFor({ jobs: 120, arrivalsPerMinute: 0, rateLimit: { limit: 40 } })
  const env = { ...serviceEnv(api, database), RATE_LIMIT_REQUESTS: '40' }
  const itemRequests = () => api.requests.filter(({ batch }) => batch !== null).length

  const off = await runCli(['sync', '--json'], { env })
  expect([off.code, itemRequests()]).toEqual([0, 0])
  const listRequests = api.requestCount

  const on = await runCli(['sync', '--json'], { env: { ...env, SYNC_RESULTS: 'full' } })
  expect([on.code, JSON.parse(on.stdout).status]).toEqual([0, 'complete'])
  // Our share is 20 of 40 requests, of which items may take the upper half.
  expect(itemRequests()).toBeGreaterThan(0)
  expect(api.requestCount).toBeLessThanOrEqual(listRequests + 11)
  const [counts] = await database.sql<{ read: number; due: number }>(
    `SELECT (SELECT count(*) FROM spidra.batch_reads)::integer AS read, (SELECT count(*) FROM spidra.results_due)::integer AS due`,
  )
  expect(counts).toEqual({ read: itemRequests(), due: 120 - itemRequests() })
})
