import { expect, test } from 'vitest'
import { markRemoved, mergeJobs } from '../../src/db/batch-jobs.js'
import {
  countOpenRejections,
  fingerprintOf,
  keepRejectedJobs,
  type RejectedRow,
  settleRejectedJobs,
} from '../../src/db/rejected-jobs.js'
import type { RunKey } from '../../src/db/sync-runs.js'
import { openTransaction, untilBlocked } from '../support/blocking.js'
import { closeRun, jobRow, openRun, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'

test('the fingerprint is the SHA-256 of the payload', () => {
  expect(fingerprintOf('abc')).toBe(ABC)
})

test('stores the item as received, also where jsonb refuses it', async () => {
  const run = await openRun(db)
  const payload = '{"uuid":7,"a":"\\u0000","b":"\\ud800","c":12345678901234567890.10,"d":"Zürich 🕷 \\\\"}'

  await keepRejectedJobs(db, run, [withoutUuid({ payload, reason: 'uuid: "Zürich" 🕷' })])

  expect(await readRejections()).toEqual([
    {
      account: 'default',
      uuid: null,
      fingerprint: fingerprintOf(payload),
      payload,
      reason: 'uuid: "Zürich" 🕷',
      copies: 1,
      run_id: `${run.id}`,
      resolved_at: null,
    },
  ])
  expect(await sql('SELECT FROM spidra.rejected_jobs WHERE first_rejected_at <> last_rejected_at')).toEqual([])
})

test('writes a rejection once, and not again while nothing changes', async () => {
  const rows = [withUuid(1), withUuid(2), withoutUuid(), withoutUuid({ payload: '{"other":1}' })]
  await keepRejectedJobs(db, await openRun(db), rows)
  const before = await readVersions()

  await keepRejectedJobs(db, await openRun(db), rows.toReversed())

  expect(await readVersions()).toEqual(before)
  expect(before).toHaveLength(4)
})

/** `keepsRun`: it only says the same once more. */
const REASONS_TO_WRITE: readonly {
  what: string
  change?: Partial<RejectedRow>
  meanwhile?: string
  keepsRun?: boolean
}[] = [
  { what: 'its payload changes', change: { payload: '{"new":1}', fingerprint: fingerprintOf('{"new":1}') } },
  { what: 'its reason changes', change: { reason: 'worse' } },
  { what: 'a day has gone by', meanwhile: `last_rejected_at = now() - interval '25 hours'`, keepsRun: true },
  { what: 'it had been resolved', meanwhile: 'resolved_at = now()' },
]

test.each(REASONS_TO_WRITE)('writes a rejection again when $what', async ({ change, meanwhile, keepsRun = false }) => {
  const earlier = await openRun(db)
  await keepRejectedJobs(db, earlier, [withUuid(1), withUuid(2)])
  await sql(
    `UPDATE spidra.rejected_jobs SET first_rejected_at = '2020-01-01Z', last_rejected_at = now() - interval '1 h'`,
  )
  if (meanwhile) await sql(`UPDATE spidra.rejected_jobs SET ${meanwhile} WHERE uuid = $1`, [uuidOf(1)])
  const run = await openRun(db)

  await keepRejectedJobs(db, run, [withUuid(1, change), withUuid(2)])

  expect(await readRejections()).toMatchObject([
    { ...withUuid(1, change), run_id: `${keepsRun ? earlier.id : run.id}`, resolved_at: null },
    { ...withUuid(2), run_id: `${earlier.id}` },
  ])
  expect(
    await sql(`
      SELECT first_rejected_at = '2020-01-01Z' AS "firstStays", last_rejected_at > now() - interval '1 min' AS again
      FROM spidra.rejected_jobs ORDER BY uuid`),
  ).toEqual([
    { firstStays: true, again: true },
    { firstStays: true, again: false },
  ])
})

test('stores the largest number of copies that a pass has met', async () => {
  const run = await openRun(db)
  const met = async (copies: number, change: Partial<RejectedRow> = {}) => {
    await keepRejectedJobs(db, run, [withoutUuid({ copies, ...change })])
    return (await readRejections()).map((row) => row.copies)
  }

  expect(await met(2)).toEqual([2])
  expect(await met(1)).toEqual([2])
  expect(await met(3)).toEqual([3])
  expect(await met(1, { reason: 'worse' })).toEqual([3])
})

test('a rejection that is open again has the number of copies that are met now', async () => {
  const run = await openRun(db)
  await keepRejectedJobs(db, run, [withoutUuid({ copies: 7 })])
  await sql('UPDATE spidra.rejected_jobs SET resolved_at = now()')

  await keepRejectedJobs(db, run, [withoutUuid({ copies: 2 })])

  expect(await readRejections()).toMatchObject([{ copies: 2, resolved_at: null }])
})

test('distinguishes an item with a uuid from one without, though their payloads are the same', async () => {
  const run = await openRun(db)

  await keepRejectedJobs(db, run, [withUuid(1)])
  await keepRejectedJobs(db, run, [withoutUuid({ reason: 'no uuid' })])
  await keepRejectedJobs(db, run, [withUuid(2), withUuid(1), withoutUuid({ reason: 'none' })])

  expect((await readRejections()).map(({ uuid, reason }) => ({ uuid, reason }))).toEqual([
    { uuid: uuidOf(1), reason: 'bad' },
    { uuid: uuidOf(2), reason: 'bad' },
    { uuid: null, reason: 'none' },
  ])
})

test('keeps accounts apart', async () => {
  const ada = await openRun(db, 'ada')
  const bob = await openRun(db, 'bob')
  const rows = [withUuid(1), withoutUuid()]
  await keepRejectedJobs(db, ada, rows)
  await keepRejectedJobs(db, bob, rows)
  await keepRejectedJobs(
    db,
    bob,
    rows.map((row) => ({ ...row, reason: 'worse' })),
  )

  expect(await sql('SELECT account, reason FROM spidra.rejected_jobs ORDER BY id')).toEqual([
    { account: 'ada', reason: 'bad' },
    { account: 'ada', reason: 'bad' },
    { account: 'bob', reason: 'worse' },
    { account: 'bob', reason: 'worse' },
  ])

  await settleRejectedJobs(db, bob, new Map())
  expect(await countOpenRejections(db, 'ada')).toBe(2)
  expect(await countOpenRejections(db, 'bob')).toBe(0)
})

test('a closed run writes nothing', async () => {
  const run = await openRun(db)
  await keepRejectedJobs(db, run, [withUuid(1)])
  await closeRun(database, run)
  const before = await readVersions()

  await keepRejectedJobs(db, run, [withUuid(1, { reason: 'worse' }), withUuid(2), withoutUuid()])
  await settleRejectedJobs(db, run, new Map())

  expect(await readVersions()).toEqual(before)
  expect(before).toHaveLength(1)
})

test.each([
  {
    verb: 'keeping',
    write: (run: RunKey) => keepRejectedJobs(db, run, [withUuid(1, { reason: 'worse' }), withUuid(2)]),
  },
  { verb: 'settling', write: (run: RunKey) => settleRejectedJobs(db, run, new Map()) },
])('$verb waits while the run is being closed, and then writes nothing', async ({ write }) => {
  const run = await openRun(db)
  await keepRejectedJobs(db, run, [withUuid(1)])
  const before = await readVersions()
  await using other = await openTransaction(database)
  await other.query(`UPDATE spidra.sync_runs SET status = 'aborted'`)

  const writing = write(run)
  await untilBlocked(database, 1)
  await other.commit()
  await writing

  expect(await readVersions()).toEqual(before)
})

test('counts the copies of open rejections, but not those of jobs that are stored live', async () => {
  const run = await openRun(db)
  const other = await openRun(db, 'other')
  await mergeJobs(db, run, [jobRow(), jobRow({ uuid: uuidOf(2) })])
  await mergeJobs(db, other, [jobRow({ uuid: uuidOf(3) })])
  await markRemoved(db, run, [uuidOf(2)])
  await keepRejectedJobs(db, run, [withUuid(1), withUuid(2), withUuid(3), withUuid(4), withoutUuid({ copies: 3 })])
  await sql('UPDATE spidra.rejected_jobs SET resolved_at = now() WHERE uuid = $1', [uuidOf(4)])

  expect(await countOpenRejections(db, 'default'), 'removed, of another account, and three copies').toBe(5)
  expect(await countOpenRejections(db, 'nobody')).toBe(0)
})

test('a whole pass resolves the rejections that it did not meet, and sets the copies of the others', async () => {
  const run = await openRun(db)
  const gone = withoutUuid({ payload: '{"gone":1}', fingerprint: fingerprintOf('{"gone":1}') })
  await keepRejectedJobs(db, run, [withUuid(1), withUuid(2), withoutUuid({ copies: 3 }), gone])
  const before = await readVersions()

  await settleRejectedJobs(
    db,
    run,
    new Map([
      [uuidOf(1), 1],
      [withoutUuid().fingerprint, 2],
    ]),
  )

  expect(
    await sql('SELECT uuid, copies, resolved_at IS NOT NULL AS resolved FROM spidra.rejected_jobs ORDER BY id'),
  ).toEqual([
    { uuid: uuidOf(1), copies: 1, resolved: false },
    { uuid: uuidOf(2), copies: 1, resolved: true },
    { uuid: null, copies: 2, resolved: false },
    { uuid: null, copies: 1, resolved: true },
  ])
  expect((await readVersions())[0], 'unchanged, so not written').toEqual(before[0])
})

test('resolves no rejection twice', async () => {
  const run = await openRun(db)
  await keepRejectedJobs(db, run, [withUuid(1)])
  await settleRejectedJobs(db, run, new Map())
  const before = await readVersions()

  await settleRejectedJobs(db, run, new Map())

  expect(await readVersions()).toEqual(before)
})

function withUuid(number: number, change: Partial<RejectedRow> = {}): RejectedRow {
  return withoutUuid({ uuid: uuidOf(number), ...change })
}

function withoutUuid(change: Partial<RejectedRow> = {}): RejectedRow {
  const payload = change.payload ?? '{"bad":true}'
  return { uuid: null, payload, fingerprint: fingerprintOf(payload), reason: 'bad', copies: 1, ...change }
}

function readRejections() {
  return sql(`
    SELECT account, uuid, fingerprint, payload, reason, copies, run_id, resolved_at
    FROM spidra.rejected_jobs ORDER BY uuid, id`)
}

/** Where each row lies, who wrote it and who locked it. */
function readVersions() {
  return sql('SELECT id, ctid, xmin, xmax FROM spidra.rejected_jobs ORDER BY id')
}
