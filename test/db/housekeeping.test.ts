import { expect, test } from 'vitest'
import { pruneHistory } from '../../src/db/housekeeping.js'
import { createTestDatabase } from '../support/test-database.js'

test('deletes old runs, events and resolved rejections of the account, and nothing else', async () => {
  await using database = await createTestDatabase()
  const { sql, db } = database
  for (const account of ['ours', 'others']) {
    await sql(
      `INSERT INTO spidra.sync_runs (account, mode, trigger, status, started_at, worker)
       VALUES ($1, 'full', 'manual', 'running', now() - interval '401 days', 'a:1')`,
      [account],
    )
    for (const age of [399, 401]) {
      await sql(
        `INSERT INTO spidra.sync_runs (account, mode, trigger, status, started_at, finished_at, worker)
         VALUES ($1, 'full', 'manual', 'complete', now() - make_interval(days => $2), now() - make_interval(days => $2), 'a:1')`,
        [account, age],
      )
      await sql(
        `INSERT INTO spidra.batch_job_events (uuid, account, run_id, kind, observed_at)
         VALUES (gen_random_uuid(), $1, 1, 'progressed', now() - make_interval(days => $2))`,
        [account, age],
      )
      await sql(
        `INSERT INTO spidra.rejected_jobs (account, uuid, fingerprint, payload, reason, run_id, resolved_at)
         VALUES ($1, gen_random_uuid(), 'f', '{}', 'r', 1, now() - make_interval(days => $2)),
                ($1, gen_random_uuid(), 'f', '{}', 'r', 1, NULL)`,
        [account, age],
      )
    }
  }

  expect(await pruneHistory(db, 'ours', 400)).toEqual({ runs: 1, events: 1, rejections: 1 })

  const left = await sql(
    `SELECT account, (SELECT count(*)::int FROM spidra.sync_runs r WHERE r.account = a.account) AS runs,
       (SELECT count(*)::int FROM spidra.batch_job_events e WHERE e.account = a.account) AS events,
       (SELECT count(*)::int FROM spidra.rejected_jobs j WHERE j.account = a.account) AS rejections
     FROM (VALUES ('ours'), ('others')) AS a(account) ORDER BY account DESC`,
  )
  expect(left).toEqual([
    { account: 'ours', runs: 2, events: 1, rejections: 3 },
    { account: 'others', runs: 3, events: 2, rejections: 4 },
  ])
})

test('deletes in portions, to the last row', async () => {
  await using database = await createTestDatabase()
  const { sql, db } = database
  await sql(
    `INSERT INTO spidra.batch_job_events (uuid, account, run_id, kind, observed_at)
     SELECT gen_random_uuid(), 'ours', 1, 'progressed', now() - interval '2 days' FROM generate_series(1, 7)`,
  )

  expect(await pruneHistory(db, 'ours', 1, { atOnce: 3 })).toEqual({ runs: 0, events: 7, rejections: 0 })
  expect(await sql('SELECT id FROM spidra.batch_job_events')).toEqual([])
})
