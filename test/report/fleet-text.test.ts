import { pino } from 'pino'
import { expect, test } from 'vitest'
import { saveHeartbeat, type WorkerHeartbeat } from '../../src/db/workers.js'
import { openRunQueue } from '../../src/fleet/run-queue.js'
import { readFleet } from '../../src/report/fleet.js'
import { toFleetText } from '../../src/report/fleet-text.js'
import { readStatus } from '../../src/report/status.js'
import { toStatusLines, toStatusText } from '../../src/report/status-text.js'
import { createTestDatabase } from '../support/test-database.js'

const SIGN: WorkerHeartbeat = {
  ...{ worker: 'here:1', role: 'worker', sourceAddress: null, runsInParallel: 4, running: 4 },
  ...{ budget: { limit: 300, remaining: 150, resetAt: null }, pausedForMs: 0 },
}

test('a run that yielded is not shown as aborted in texts; JSON keeps the stored status', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, error_code, error_message, worker, finished_at)
    SELECT account, 'full', 'schedule', 'aborted', code, 'words of ' || code, 'here:1', now()
    FROM (VALUES ('large', 'handed_on'), ('halted', 'stopped')) AS runs (account, code);
    INSERT INTO spidra.sync_state (account, full_started_at, pass_total) VALUES ('large', now(), 20000)`)
  const read = (account: string) =>
    readStatus(database.db, {
      account,
      now: new Date(),
      rateLimit: { requests: 300, windowSeconds: 900, reserve: 0.5 },
    })
  const reports = [await read('large'), await read('halted')]

  expect(reports[0]?.runs).toMatchObject([{ status: 'aborted', reason: 'handed_on' }])
  const lines = toStatusLines(reports)
  expect(lines).toMatch(/^large +yielded +0 % loaded /m)
  expect(lines).toMatch(/^halted +aborted +never /m)
  const text = toStatusText(await read('large'))
  expect(text).toContain('The last run yielded its account: any worker continues it.')
  expect(text).toMatch(/ full +yielded /)
  expect(text).not.toMatch(/aborted|words of/)
})

test('a worker without a heartbeat is shown with no runs and no pause', async () => {
  await using database = await createTestDatabase()
  const queue = await openRunQueue(database.url, pino({ level: 'silent' }))
  await queue.close()
  await saveHeartbeat(database.db, { ...SIGN, pausedForMs: 60_000 })
  await saveHeartbeat(database.db, { ...SIGN, worker: 'gone:2', pausedForMs: 3_600_000 })
  await database.sql("UPDATE spidra.workers SET seen_at = now() - interval '2 minutes' WHERE worker = 'gone:2'")

  const fleet = await readFleet(database.db)

  if (fleet === null) throw new Error('the fleet was not found')
  expect(fleet.workers).toMatchObject([{ running: 4 }, { running: 4, isAlive: false }])
  const text = toFleetText(fleet)
  expect(text).toMatch(/^here:1 +worker +4 of 4 +150 of 300 +0 s ago$/m)
  expect(text).toMatch(/^gone:2 +worker +- +150 of 300 +GONE 2 min$/m)
  expect(text).toMatch(/^here:1 waits for budget until \d\d:\d\d:\d\d UTC: it takes no runs\.$/m)
  expect(text).not.toContain('gone:2 waits')
})
