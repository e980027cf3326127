import { EventEmitter, once } from 'node:events'
import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { createCliDatabase } from '../support/cli-database.js'
import { createFleet } from '../support/fleet.js'

/** Less than the time between two regular heartbeats. */
const SOON = { timeout: 6_000, interval: 50 }

test('a heartbeat reports at once that runs begin and end', { timeout: 60_000 }, async () => {
  await using database = await createCliDatabase()
  const gate = new EventEmitter()
  const opened = once(gate, 'open')
  await using api = await startSimulator({
    ...{ jobs: 20, accounts: 2, rateLimit: 'off', arrivalsPerMinute: 0, beforeAnswer: async () => void (await opened) },
  })
  await using fleet = await createFleet(api, database, { SYNC_SCHEDULE: '0 0 29 2 *', RATE_LIMIT_REQUESTS: 'off' })
  const service = await fleet.startBoth()
  await service.says(/"msg":"run started"/)

  const running = () => database.sql('SELECT running FROM spidra.workers')
  await expect.poll(running, SOON).toEqual([{ running: 2 }])

  gate.emit('open')
  await expect.poll(running, SOON).toEqual([{ running: 0 }])
})
