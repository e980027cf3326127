import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { type CliProcess, startCli } from '../support/cli.js'
import { summaryOf } from '../support/cli-sync.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { SILENCE_NOTE, untilSilent } from '../support/silence.js'
import { storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

/** All that a worker may write. */
async function everything(): Promise<unknown> {
  const tables = ['batch_jobs', 'batch_job_events', 'sync_runs', 'rejected_jobs']
  return Promise.all(
    tables.map((table) => database.sql(`SELECT t::text AS row, xmin::text FROM spidra.${table} t ORDER BY 1`)),
  )
}

const state = () =>
  database.sql(
    'SELECT is_whole, bottom_created_at, full_created_at, last_complete_at, xmin::text FROM spidra.sync_state',
  )
const runs = () =>
  database.sql(
    'SELECT status, error_code AS code, finished_at IS NOT NULL AS "isClosed" FROM spidra.sync_runs ORDER BY id',
  )

async function startWorker(api: { readonly url: string; readonly key: string }): Promise<CliProcess> {
  return startCli(['sync', '--json', '--full'], {
    env: {
      SPIDRA_API_KEY: api.key,
      SPIDRA_API_URL: api.url,
      DATABASE_URL: database.url,
      RATE_LIMIT_REQUESTS: 'off',
      LOG_LEVEL: 'debug',
    },
  })
}

test(`a worker that slept through its own funeral${SILENCE_NOTE} writes nothing more, and says so`, {
  timeout: 200_000,
}, async () => {
  let reached: (() => void) | null = null
  const inMidRun = new Promise<void>((resolve) => {
    reached = resolve
  })
  await using simulator = await startSimulator({
    jobs: 3_000,
    rateLimit: 'off',
    latencyMs: 20,
    beforeAnswer: ({ number }) => void (number === 30 && reached?.()),
  })
  await using sleeper = await startWorker(simulator)
  await Promise.race([inMidRun, sleeper.ended])
  sleeper.kill('SIGSTOP')

  // Its heart has not missed enough beats yet: whoever comes now is told to go away.
  await using early = await startWorker(simulator)
  expect(await early.ended).toMatchObject({ code: 0 })
  expect(summaryOf(await early.ended)).toMatchObject({ status: 'skipped' })

  await untilSilent(database)
  await using heir = await startWorker(simulator)
  const inherited = await heir.ended
  expect(inherited.code, inherited.stderr).toBe(0)
  expect(summaryOf(inherited)).toMatchObject({ status: 'complete', storedTotal: 3_000 })
  expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  const left = { tables: await everything(), state: await state() }

  // What it finds when it wakes is another list, so that a merge would show.
  for (const uuid of [...simulator.account.allUuids()].slice(1_000, 3_000)) {
    simulator.account.updateJob(uuid, { status: 'running' })
  }
  sleeper.kill('SIGCONT')
  const woken = await sleeper.ended

  expect(woken.code).toBe(1)
  expect(summaryOf(woken)).toMatchObject({ status: 'aborted' })
  expect({ tables: await everything(), state: await state() }).toEqual(left)
  expect(await runs()).toEqual([
    { status: 'aborted', code: 'worker_lost', isClosed: true },
    { status: 'complete', code: null, isClosed: true },
  ])
})
