import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createDice } from '../soak/dice.js'
import { batchRequests, expectAllStored } from '../support/batch-items.js'
import { runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import { serviceEnv, simulateFor, untilNoLocks } from '../support/service.js'

test('sync reads items with what the list and the reserve leave of a window, and none while it is off', async () => {
  await using database = await createCliDatabase()
  await using api = await simulateFor({ jobs: 120, arrivalsPerMinute: 0, rateLimit: { limit: 40 } })
  const env = { ...serviceEnv(api, database), RATE_LIMIT_REQUESTS: '40' }
  const itemRequests = () => batchRequests(api)

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

/** KILL_SEED repeats what was tried, not how fast the machine was. */
const KILLS = Number(process.env.KILLS ?? 8)
const SEED = Number(process.env.KILL_SEED ?? Date.now() % 1_000_000)

test(`kill -9 ${KILLS} times while items are read (KILL_SEED=${SEED}): no batch that was stored is asked for again`, {
  timeout: 60_000 + KILLS * 20_000,
}, async () => {
  const dice = createDice(SEED)
  const events = new EventEmitter()
  const asked: string[] = []
  await using database = await createCliDatabase()
  await using api = await simulateFor({
    jobs: 12 * KILLS,
    arrivalsPerMinute: 0,
    latencyMs: 10,
    beforeBatch: (uuid) => {
      asked.push(uuid)
      events.emit('batch')
    },
  })
  const env = { ...serviceEnv(api, database), SYNC_RESULTS: 'full', RESULTS_PER_RUN: '1000' }
  const readUuids = async () => {
    const rows = await database.sql<{ uuid: string }>('SELECT uuid::text AS uuid FROM spidra.batch_reads')
    return new Set(rows.map(({ uuid }) => uuid))
  }
  expect((await syncInProcess({ ...env, SYNC_RESULTS: 'off' })).code).toBe(0)

  for (let kills = 0; kills < KILLS; kills += 1) {
    const stored = await readUuids()
    const from = asked.length
    await using victim = await startCli(['sync'], { env })
    const ended = victim.ended.then(() => 'ended')
    const until = from + 1 + dice.below(8)
    while (asked.length < until) {
      expect(await Promise.race([ended, once(events, 'batch')]), 'the process ended before its death').not.toBe('ended')
    }
    // The instant is what is tried here.
    await sleep(dice.below(25))
    victim.kill('SIGKILL')
    expect((await victim.ended).signal).toBe('SIGKILL')
    expect(asked.slice(from).filter((uuid) => stored.has(uuid))).toEqual([])
  }

  const last = await syncInProcess(env)
  expect([last.code, JSON.parse(last.stdout).status]).toEqual([0, 'complete'])
  await untilNoLocks(database)
  await expectAllStored(api, database, true)
  expect(asked.length - new Set(asked).size).toBeLessThanOrEqual(KILLS)
  expect(await readUuids()).toEqual(new Set(asked))
})
