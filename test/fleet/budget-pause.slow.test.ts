import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { createCliDatabase } from '../support/cli-database.js'
import { completeAccounts, createFleet, nameOf } from '../support/fleet.js'
import { PATIENCE } from '../support/service.js'

test('a worker without budget reports until when it takes no runs, and when it takes runs again', {
  timeout: 90_000,
}, async () => {
  await using database = await createCliDatabase()
  const rateLimit = { limit: 30, windowMs: 12_000 }
  await using api = await startSimulator({ jobs: 20 * 50, accounts: 2, rateLimit, arrivalsPerMinute: 0 })
  await using fleet = await createFleet(api, database, {
    ...{ SYNC_SCHEDULE: '0 0 29 2 *', RATE_LIMIT_WINDOW_SECONDS: '12', LOG_LEVEL: 'debug', HTTP_PORT: '0' },
  })
  const service = await fleet.startBoth()
  const [, url] = await service.says(/"url":"([^"]+)"[^\n]*"msg":"http server listens"/)
  const paused = async () => /^spidra_sync_worker_paused (\d)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]
  expect(await paused()).toBe('0')

  const [, resumesAt = ''] = await service.says(
    /"resumesAt":"([^"]+)"[^\n]*"msg":"takes no runs: request budget spent"/,
  )
  expect(Date.parse(resumesAt) - Date.now()).toBeGreaterThan(0)
  expect(Date.parse(resumesAt) - Date.now()).toBeLessThan(15_000)
  expect(await paused()).toBe('1')
  const told = async () => {
    const { fleet: seen } = JSON.parse((await fleet.status('--json')).stdout)
    return Math.abs(Date.parse(seen.workers[0].pausedUntil) - Date.parse(resumesAt))
  }
  await expect.poll(told, PATIENCE).toBeLessThan(3_000)
  // The shape is that of a service with one account.
  expect(await (await fetch(`${url}/api/status`)).json()).toMatchObject({
    version: 1,
    accounts: [{ account: nameOf(1) }, { account: nameOf(2) }],
    fleet: { workers: [{ role: 'both' }] },
  })

  await service.says(/"msg":"takes runs again"/)
  await expect
    .poll(async () => (await fleet.status()).stdout, PATIENCE)
    .toMatch(/waits for budget until \d\d:\d\d:\d\d/)
  await expect.poll(() => completeAccounts(database), { ...PATIENCE, timeout: 60_000 }).toBe(2)
  const pauses = service.stdout.match(/takes no runs/g)?.length ?? 0
  const ends = service.stdout.match(/takes runs again/g)?.length ?? 0
  expect(pauses - ends).toBeLessThanOrEqual(1)
  // One a window, of which each gives half of its requests.
  expect(pauses).toBeLessThanOrEqual(Math.ceil(api.requestCount / 15) + 1)
})
