import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { createCliDatabase } from '../support/cli-database.js'
import { createFleet, entriesOf } from '../support/fleet.js'

test('warns of accounts whose own schedule is longer than what counts as stale, at the start and at a reload', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 20, accounts: 2, rateLimit: 'off', arrivalsPerMinute: 0 })
  await using fleet = await createFleet(api, database, {
    ...{ RATE_LIMIT_REQUESTS: 'off', ALERT_STALE_MINUTES: '60', ALERT_WEBHOOK_URL: 'http://127.0.0.1:9/' },
  })
  const [often, rarely] = entriesOf(api)
  if (often === undefined || rarely === undefined) throw new Error('two accounts were asked for')
  await fleet.write([often, { ...rarely, schedule: '0 */3 * * *' }])
  const service = await fleet.startBoth()
  await service.says(/"accounts":\["account 2"\][^\n]*"msg":"ALERT_STALE_MINUTES is shorter/)

  await fleet.write([{ ...often, schedule: '0 */2 * * *' }, rarely])
  service.kill('SIGHUP')
  await service.says(/"accounts":\["account 1"\][^\n]*"msg":"ALERT_STALE_MINUTES is shorter/)
  expect(service.stdout.match(/ALERT_STALE_MINUTES/g)).toHaveLength(2)
})
