import { escapeIdentifier } from 'pg'
import { expect, test } from 'vitest'
import { type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { type CliProcess, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { createFleet } from '../support/fleet.js'
import { serviceEnv, simulateFor } from '../support/service.js'
import type { TestDatabase } from '../support/test-database.js'

/** A database that closes each connection without a statement for a second, while a page takes longer. */
async function createImpatientDatabase(): Promise<TestDatabase> {
  const database = await createCliDatabase()
  await database.sql(`ALTER DATABASE ${escapeIdentifier(database.name)} SET idle_session_timeout = '1s'`)
  return database
}

const SLOW: SimulatorOptions = { jobs: 200, rateLimit: 'off', arrivalsPerMinute: 0, latencyMs: 1_300 }

const endedRuns = ({ sql }: TestDatabase) =>
  sql<{ status: string; reason: string | null; message: string | null }>(
    `SELECT status, coalesce(error_code, status_reason) AS reason, error_message AS message
     FROM spidra.sync_runs WHERE status NOT IN ('running', 'skipped')`,
  )

async function expectCalmEnd(process: CliProcess): Promise<void> {
  process.kill('SIGTERM')
  const { code, stdout, stderr } = await process.ended
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout.match(/^.*"level":"(warn|error|fatal)".*$/gm) ?? []).toEqual([])
}

test('connections that the server closes while they are idle fail no run of a service', {
  timeout: 120_000,
}, async () => {
  await using database = await createImpatientDatabase()
  await using api = await simulateFor(SLOW)
  const env = { ...serviceEnv(api, database), SYNC_SCHEDULE: '*/5 * * * * *', RATE_LIMIT_REQUESTS: 'off' }
  await using service = await startCli(['start'], { env })

  await expect.poll(async () => (await endedRuns(database)).length, { timeout: 90_000 }).toBeGreaterThan(3)
  expect((await endedRuns(database)).filter(({ status }) => status !== 'complete')).toEqual([])
  await expectCalmEnd(service)
  for (const command of [['sync', '--full'], ['verify'], ['doctor']]) {
    expect([command, (await runCli(command, { env })).code]).toEqual([command, 0])
  }
})

test('nor of a fleet, and its queue raises no warning', { timeout: 120_000 }, async () => {
  await using database = await createImpatientDatabase()
  await using api = await startSimulator({ ...SLOW, accounts: 2 })
  await using fleet = await createFleet(api, database, { RATE_LIMIT_REQUESTS: 'off' })
  const process = await fleet.startBoth()

  await expect.poll(async () => (await endedRuns(database)).length, { timeout: 90_000 }).toBeGreaterThan(5)
  expect((await endedRuns(database)).filter(({ status }) => status !== 'complete')).toEqual([])
  await expectCalmEnd(process)
})
