import { EventEmitter, once } from 'node:events'
import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { createCliDatabase } from '../support/cli-database.js'
import { completeAccounts, createFleet } from '../support/fleet.js'
import { PATIENCE } from '../support/service.js'

test('an account of a killed worker runs again at its next tick, and the queue gives up its run', {
  timeout: 120_000,
}, async () => {
  await using database = await createCliDatabase()
  const gate = new EventEmitter()
  const opened = once(gate, 'open')
  await using api = await startSimulator({
    ...{ jobs: 20, accounts: 1, rateLimit: 'off', arrivalsPerMinute: 0, beforeAnswer: async () => void (await opened) },
  })
  await using fleet = await createFleet(api, database, { RATE_LIMIT_REQUESTS: 'off' })
  const killed = await fleet.startWorker(1)
  await killed.says(/"msg":"fleet joined"/)
  await fleet.startScheduler()
  await killed.says(/"msg":"run started"/)
  const held = () =>
    database.sql<{ state: string }>('SELECT state::text AS state FROM spidra_queue.job WHERE id = $1', [run])
  const [{ id: run } = { id: '' }] = await database.sql<{ id: string }>(
    "SELECT id FROM spidra_queue.job WHERE state = 'active'",
  )

  killed.kill('SIGKILL')
  await killed.ended
  gate.emit('open')
  await fleet.startWorker(1)

  await expect.poll(() => completeAccounts(database), PATIENCE).toBe(1)
  expect(await held()).toMatchObject([{ state: 'active' }])

  // Five minutes later.
  await database.sql("UPDATE spidra_queue.job SET started_on = started_on - interval '5 minutes' WHERE id = $1", [run])
  await expect.poll(held, { timeout: 70_000, interval: 20 }).toMatchObject([{ state: 'completed' }])
})
