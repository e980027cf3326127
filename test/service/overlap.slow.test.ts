import { EventEmitter, once } from 'node:events'
import { expect, test } from 'vitest'
import { type CliProcess, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { crookedRuns, PATIENCE, runningWorker, runsOf, serviceEnv, simulateFor } from '../support/service.js'
import { storedUuids } from '../support/sync-runner.js'

const WORKERS = 5

/** Far less than the minute after which a holder without a heartbeat counts as dead. */
const NEXT_TICK_MS = 20_000

/** Several processes, ended together. */
async function startAll(count: number, start: () => Promise<CliProcess>) {
  const services = await Promise.all(Array.from({ length: count }, start))
  return { services, [Symbol.asyncDispose]: async () => void (await Promise.all(services.map(dispose))) }
}

const dispose = (service: CliProcess) => service[Symbol.asyncDispose]()

const skipsOf = ({ stdout }: CliProcess) =>
  stdout.match(/"msg":"run skipped: another worker runs the account"/g)?.length ?? 0

test(`${WORKERS} workers on one account: one runs at any time, the others skip, and a killed one is replaced`, {
  timeout: 180_000,
}, async () => {
  await using database = await createCliDatabase()
  const events = new EventEmitter()
  let hangs = false
  await using api = await simulateFor({
    jobs: 700,
    latencyMs: 30,
    beforeAnswer: async () => {
      if (!hangs) return
      events.emit('held')
      await once(events, 'go')
    },
  })
  const env = { ...serviceEnv(api, database), SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: '*/3 * * * * *' }
  await using all = await startAll(WORKERS, () => startCli(['start'], { env }))
  const { services } = all
  await expect.poll(async () => (await runsOf(database)).length, PATIENCE).toBeGreaterThanOrEqual(10)
  await expect.poll(() => services.every((service) => skipsOf(service) > 0), PATIENCE).toBe(true)

  // One hangs in its run, and every other one skips a tick.
  const held = once(events, 'held')
  hangs = true
  await held
  const pid = await runningWorker(database)
  const holder = services.find((service) => service.pid === pid)
  if (holder === undefined) throw new Error(`no worker of ours has the process number ${pid}`)
  const others = services.filter((service) => service !== holder)
  const before = new Map(others.map((service) => [service, skipsOf(service)]))
  await expect.poll(() => others.every((service) => skipsOf(service) > (before.get(service) ?? 0)), PATIENCE).toBe(true)
  expect(await runningWorker(database)).toBe(pid)

  hangs = false
  holder.kill('SIGKILL')
  const killedAt = performance.now()
  await expect.poll(async () => (await runsOf(database)).at(-1), PATIENCE).toMatchObject({ status: 'complete' })
  expect(performance.now() - killedAt).toBeLessThan(NEXT_TICK_MS)
  events.emit('go')

  for (const service of others) service.kill('SIGTERM')
  for (const service of others) expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
  expect(await crookedRuns(database)).toEqual([])
  const runs = await runsOf(database)
  expect(runs.filter(({ error_code }) => error_code === 'worker_lost')).toHaveLength(1)
  expect(runs.filter(({ status }) => status !== 'complete' && status !== 'aborted')).toEqual([])
  expect(await storedUuids(database)).toEqual(new Set(api.account.allUuids()))
})
