import { pino } from 'pino'
import { expect, test } from 'vitest'
import { type Config, loadConfig } from '../../src/config/config.js'
import { TIMING } from '../../src/config/scale.js'
import { readStatus, type StatusReport } from '../../src/report/status.js'
import { createSharedBudget, runAccount, type SharedBudget } from '../../src/service/account-run.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()

/** A shared budget that counts its listeners. */
function countedBudget() {
  const shared = createSharedBudget({ timing: TIMING, rateLimit: { requests: 300, windowSeconds: 900, reserve: 0 } })
  const counted = {
    ...shared,
    listeners: 0,
    listen(onWait: Parameters<SharedBudget['listen']>[0]) {
      const stop = shared.listen(onWait)
      counted.listeners += 1
      return () => {
        counted.listeners -= 1
        stop()
      }
    },
  }
  return counted
}

function configOf({ url }: Simulator, apiKey: string): Config {
  const config = loadConfig({ SPIDRA_API_URL: url, RETRY_BASE_MS: '1' }, { needs: 'database' })
  return { ...config, spidra: { ...config.spidra, apiKey } }
}

function run(
  api: Simulator,
  sharedBudget: SharedBudget,
  { account = 'default', key = api.key },
  onWait: () => unknown = () => {},
) {
  return runAccount({
    config: configOf(api, key),
    db: database.db,
    databaseUrl: database.url,
    account,
    worker: 'test:1',
    mode: 'full',
    trigger: 'manual',
    sharedBudget,
    signal: new AbortController().signal,
    log: pino({ level: 'silent' }),
    onWait,
  })
}

test('parallel runs all report the wait for their shared budget, and stop listening at their end', async () => {
  await using api = await startSimulator({ jobs: 1_000, accounts: 2, rateLimit: { limit: 15, windowMs: 1_000 } })
  const budget = countedBudget()
  const waited: string[] = []

  const ended = await Promise.all([
    run(api, budget, { account: 'first' }, () => waited.push('first')),
    run(api, budget, { account: 'second', key: `${api.key}_2` }, () => waited.push('second')),
  ])

  expect(ended.map(({ summary }) => [summary.status, summary.storedTotal])).toEqual([
    ['complete', 1_000],
    ['complete', 1_000],
  ])
  expect(new Set(waited)).toEqual(new Set(['first', 'second']))
  expect(ended.every(({ summary }) => summary.waitedMs > 0)).toBe(true)
  expect(budget.listeners).toBe(0)
})

test('a failed run stops listening too', async () => {
  await using api = await startSimulator({ jobs: 3 })
  const budget = countedBudget()

  const { summary } = await run(api, budget, { key: 'spd_wrong' })

  expect(summary.status).toBe('failed')
  expect(budget.listeners).toBe(0)
})

test('a long wait in a first load is logged with its progress, and is in the status at once', async () => {
  await using api = await startSimulator({ jobs: 1_000, rateLimit: { limit: 15, windowMs: 2_000 } })
  const rateLimit = { requests: 15, windowSeconds: 2, reserve: 0 }
  const config = { ...configOf(api, api.key), rateLimit, timing: { ...TIMING, longWaitMs: 1 } }
  const waits: Record<string, unknown>[] = []
  const statuses: Promise<StatusReport>[] = []
  function write(line: string): void {
    const entry = JSON.parse(line)
    if (entry.msg !== 'waiting for the request budget') return
    waits.push(entry)
    statuses.push(readStatus(database.db, { account: 'followed', now: new Date(), rateLimit }))
  }

  const { summary } = await runAccount({
    config,
    db: database.db,
    databaseUrl: database.url,
    account: 'followed',
    worker: 'test:1',
    mode: 'full',
    trigger: 'manual',
    sharedBudget: createSharedBudget({ timing: TIMING, rateLimit }),
    signal: new AbortController().signal,
    log: pino({ level: 'info' }, { write }),
  })
  const [status] = await Promise.all(statuses)

  expect(summary).toMatchObject({ status: 'complete', storedTotal: 1_000 })
  expect(waits).toHaveLength(1)
  expect(waits[0]).toMatchObject({ load: 'first_load', listedJobs: 1_000, percent: expect.any(Number) })
  const { resumeAt, doneAt } = waits[0] ?? {}
  expect(status?.progress).toMatchObject({
    ...{ kind: 'first_load', listedJobs: 1_000, isRunning: true, waitsFor: 'request_budget' },
    waitsUntil: expect.any(String),
  })
  // Near the end of a window one request is kept.
  const { limit = 0, remaining } = status?.rateLimit ?? {}
  expect(status?.runs).toMatchObject([{ status: 'running', requests: limit - (remaining ?? 0) }])
  expect(limit).toBe(15)
  // What was merged by then decides whether the rest takes one window or two.
  const endsInMs = Date.parse(String(doneAt)) - Date.parse(String(resumeAt))
  expect(endsInMs).toBeGreaterThan(0)
  expect(endsInMs).toBeLessThan(6_000)
})
