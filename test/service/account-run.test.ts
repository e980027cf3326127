import { pino } from 'pino'
import { expect, test } from 'vitest'
import { type Config, loadConfig } from '../../src/config/config.js'
import { TIMING } from '../../src/config/scale.js'
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
