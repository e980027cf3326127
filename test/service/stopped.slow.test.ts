import { EventEmitter, once } from 'node:events'
import { expect, test } from 'vitest'
import { startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { compareWithList } from '../support/job-rows.js'
import { crookedRuns, PATIENCE, runningWorker, runsOf, serviceEnv, simulateFor } from '../support/service.js'
import { SILENCE_NOTE, untilSilent } from '../support/silence.js'

test(`a service that is stopped in mid-run${SILENCE_NOTE} is replaced by another; woken, it writes nothing of its run, and goes on by schedule`, {
  timeout: 240_000,
}, async () => {
  await using database = await createCliDatabase()
  const events = new EventEmitter()
  let holdsAt: number | null = 8
  await using api = await simulateFor({
    jobs: 1_500,
    beforeAnswer: async ({ number }) => {
      if (number !== holdsAt) return
      events.emit('held')
      await once(events, 'go')
    },
  })
  const env = { ...serviceEnv(api, database), SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: '*/3 * * * * *' }
  const held = once(events, 'held')
  await using sleeper = await startCli(['start'], { env })
  await held
  expect(await runningWorker(database)).toBe(sleeper.pid)
  sleeper.kill('SIGSTOP')
  // Its answer waits for it: a page of a list that is no longer like this when it wakes.
  holdsAt = null
  events.emit('go')

  await using heir = await startCli(['start'], { env })
  await heir.says(/"msg":"run skipped: another worker runs the account"/)
  await untilSilent(database)
  await heir.says(/"status":"complete"/)
  const uuids = [...api.account.allUuids()]
  for (const uuid of uuids.slice(0, 900)) api.account.updateJob(uuid, { status: 'running' })
  await heir.says(/"updated":\d{3}/)

  // The heir is gone before the sleeper wakes, so that whatever is written then is the sleeper's.
  heir.kill('SIGTERM')
  expect(await heir.ended).toMatchObject({ code: 0, stderr: '' })
  const left = await database.sql('SELECT max(id) AS id, count(*) AS events FROM spidra.batch_job_events')
  sleeper.kill('SIGCONT')
  await sleeper.says(/"msg":"run aborted"/)
  await sleeper.says(/"status":"complete"/)
  expect(await database.sql('SELECT max(id) AS id, count(*) AS events FROM spidra.batch_job_events')).toEqual(left)
  await expect.poll(() => compareWithList(database, api.account), PATIENCE).toEqual([])

  sleeper.kill('SIGTERM')
  expect(await sleeper.ended).toMatchObject({ code: 0, stderr: '' })
  expect(await crookedRuns(database)).toEqual([])
  expect((await runsOf(database))[0]).toEqual({ status: 'aborted', error_code: 'worker_lost' })
})
