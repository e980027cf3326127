import { beforeEach, expect, test } from 'vitest'
import { markRemoved, mergeJobs } from '../../src/db/batch-jobs.js'
import {
  countLiveJobs,
  hasMoreLiveJobs,
  hasStored,
  listOpenUuids,
  listUnlisted,
  rankJobs,
  rankOf,
  readNewestCreatedAt,
} from '../../src/db/batch-jobs-read.js'
import { keepRejectedJobs } from '../../src/db/rejected-jobs.js'
import { jobRows, openRun, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db } = database
/** No job is young. */
const NONE_YOUNG = new Date('2026-03-01T13:00:00Z')

/** Jobs 1 to 9 are a second apart, 9 the newest; 5 is removed. Account `other` has the job 20, the newest of all. */
beforeEach(async () => {
  const run = await openRun(db)
  await mergeJobs(
    db,
    run,
    jobRows(9, (n) => ({ createdAt: secondOf(n) })),
  )
  await markRemoved(db, run, [uuidOf(5)])
  const [newest] = jobRows(1, () => ({ uuid: uuidOf(20), createdAt: secondOf(20) }))
  if (newest) await mergeJobs(db, await openRun(db, 'other'), [newest])
})

test('counts the live jobs of the account', async () => {
  expect(await countLiveJobs(db, 'default')).toBe(8)
  expect(await countLiveJobs(db, 'other')).toBe(1)
  expect(await countLiveJobs(db, 'nobody')).toBe(0)
})

test('says whether the account has more live jobs than a given number', async () => {
  expect(await hasMoreLiveJobs(db, 'default', 7)).toBe(true)
  expect(await hasMoreLiveJobs(db, 'default', 8)).toBe(false)
  expect(await hasMoreLiveJobs(db, 'nobody', 0)).toBe(false)
})

test('reads the creation of the newest live job to the microsecond', async () => {
  expect(await readNewestCreatedAt(db, 'default')).toBe('2026-03-01T12:00:09.000001Z')
  expect(await readNewestCreatedAt(db, 'nobody')).toBeNull()

  const run = await openRun(db)
  await markRemoved(db, run, [uuidOf(9)])
  expect(await readNewestCreatedAt(db, 'default')).toBe('2026-03-01T12:00:08.000001Z')
})

test('the rank of an instant is the number of newer live jobs', async () => {
  expect(await rankOf(db, 'default', secondOf(9))).toBe(0)
  expect(await rankOf(db, 'default', '2026-03-01T12:00:09.000000Z')).toBe(1)
  expect(await rankOf(db, 'default', secondOf(4))).toBe(4)
  expect(await rankOf(db, 'default', '1970-01-01T00:00:00Z')).toBe(8)
})

test('jobs that are known to be gone do not count for the rank', async () => {
  const gone = [2, 5, 7, 9, 20, 100].map(uuidOf)

  expect(await rankOf(db, 'default', secondOf(4), { gone })).toBe(2)
  expect(await rankOf(db, 'default', secondOf(7), { gone })).toBe(1)
  expect(await rankOf(db, 'default', secondOf(7), { gone: [] })).toBe(2)
  // What lies above an instant whose rank is known need not be counted again.
  expect(await rankOf(db, 'default', secondOf(4), { upTo: secondOf(7) })).toBe(2)
  expect(await rankOf(db, 'default', secondOf(4), { gone, upTo: secondOf(7) })).toBe(1)
})

test('lists the open jobs', async () => {
  const ended = [2, 3, 9].map(uuidOf)
  await database.sql(`UPDATE spidra.batch_jobs SET status = 'completed' WHERE uuid = ANY($1)`, [ended])
  await database.sql(`UPDATE spidra.batch_jobs SET status = 'odd' WHERE uuid = $1`, [uuidOf(4)])

  expect((await listOpenUuids(db, 'default', NONE_YOUNG)).toSorted()).toEqual([1, 4, 6, 7, 8].map(uuidOf).toSorted())
  expect(await listOpenUuids(db, 'nobody', NONE_YOUNG)).toEqual([])
})

test('a young job that failed, was cancelled or has failures is listed with the open ones', async () => {
  await database.sql(`UPDATE spidra.batch_jobs SET status = 'completed', failed_count = 0`)
  await database.sql(`UPDATE spidra.batch_jobs SET failed_count = 1 WHERE uuid = ANY($1)`, [[3, 6].map(uuidOf)])
  await database.sql(`UPDATE spidra.batch_jobs SET status = 'cancelled' WHERE uuid = ANY($1)`, [[2, 8].map(uuidOf)])
  await database.sql(`UPDATE spidra.batch_jobs SET status = 'failed' WHERE uuid = $1`, [uuidOf(9)])

  const young = await listOpenUuids(db, 'default', new Date(secondOf(4)))

  expect(young.toSorted()).toEqual([6, 8, 9].map(uuidOf).toSorted())
  expect(await listOpenUuids(db, 'default', NONE_YOUNG)).toEqual([])
})

test('ranks live jobs among the others, newest first', async () => {
  const ranked = await rankJobs(db, 'default', [1, 8, 5, 4, 20, 6].map(uuidOf))

  expect(ranked).toEqual(
    [
      { number: 8, rank: 1 },
      { number: 6, rank: 3 },
      { number: 4, rank: 4 },
      { number: 1, rank: 7 },
    ].map(({ number, rank }) => ({ uuid: uuidOf(number), createdAt: secondOf(number), rank })),
  )
  for (const { createdAt, rank } of ranked) expect(await rankOf(db, 'default', createdAt)).toBe(rank)
  expect(await rankJobs(db, 'nobody', [uuidOf(1)])).toEqual([])
})

test('jobs that were created at the same instant have the same rank', async () => {
  await database.sql('UPDATE spidra.batch_jobs SET created_at = $1 WHERE uuid = ANY($2)', [
    secondOf(8),
    [6, 7].map(uuidOf),
  ])

  const ranks = (await rankJobs(db, 'default', [4, 6, 7, 8, 9].map(uuidOf))).map(({ uuid, rank }) => [uuid, rank])

  expect(ranks).toEqual([
    [uuidOf(9), 0],
    [uuidOf(6), 1],
    [uuidOf(7), 1],
    [uuidOf(8), 1],
    [uuidOf(4), 4],
  ])
})

test('says whether one of the uuids is a live job of the account', async () => {
  const has = (...numbers: number[]) => hasStored(db, 'default', numbers.map(uuidOf), null)

  expect(await has(100, 9)).toBe(true)
  expect(await has()).toBe(false)
  expect(await has(100)).toBe(false)
  expect(await has(5), 'removed').toBe(false)
  expect(await has(20), 'of another account').toBe(false)
})

test('only jobs that are strictly newer than the bottom count as covered', async () => {
  const has = (createdAfter: string) => hasStored(db, 'default', [uuidOf(3)], createdAfter)

  expect(await has('2026-03-01T12:00:03.000000Z')).toBe(true)
  expect(await has(secondOf(3))).toBe(false)
})

test('an open rejection counts as a listed job, but has no creation time', async () => {
  const run = await openRun(db)
  const row = { payload: '{}', fingerprint: 'f', reason: 'bad', copies: 1 }
  await keepRejectedJobs(db, run, [
    { ...row, uuid: uuidOf(50) },
    { ...row, uuid: uuidOf(51) },
  ])
  await database.sql('UPDATE spidra.rejected_jobs SET resolved_at = now() WHERE uuid = $1', [uuidOf(51)])
  const has = (number: number, createdAfter: string | null = null, account = 'default') =>
    hasStored(db, account, [uuidOf(number)], createdAfter)

  expect(await has(50)).toBe(true)
  expect(await has(50, '1970-01-01T00:00:00Z')).toBe(false)
  expect(await has(50, null, 'other')).toBe(false)
  expect(await has(51), 'resolved').toBe(false)
})

test('lists the live jobs of a range that are not listed: later than `after`, up to and including `upTo`', async () => {
  const unlisted = async (after: string | null, upTo: string | null, ...listed: number[]) =>
    [...(await listUnlisted(db, 'default', { after, upTo, settled: null }, listed.map(uuidOf)))].sort()

  expect(await unlisted(null, null, 1, 2, 3, 4, 6, 7, 9)).toEqual([uuidOf(8)])
  expect(await unlisted(secondOf(2), secondOf(6))).toEqual([3, 4, 6].map(uuidOf))
  expect(await unlisted(secondOf(2), null, 4, 7)).toEqual([3, 6, 8, 9].map(uuidOf))
  expect(await unlisted(null, secondOf(2), 100)).toEqual([1, 2].map(uuidOf))
  expect(await unlisted(secondOf(6), secondOf(6))).toEqual([])
})

test('a job newer than the page that lacks it is unlisted only when it was first seen long enough ago', async () => {
  const unlisted = async (ageMs: number) => {
    const range = { after: null, upTo: null, settled: { newest: secondOf(7), ageMs } }
    return [...(await listUnlisted(db, 'default', range, [1, 2, 3, 4, 6].map(uuidOf)))].sort()
  }
  await database.sql("UPDATE spidra.batch_jobs SET first_seen_at = now() - interval '1 minute' WHERE uuid = $1", [
    uuidOf(8),
  ])

  expect(await unlisted(30_000)).toEqual([8].map(uuidOf))
  expect(await unlisted(90_000)).toEqual([])
  expect(await unlisted(0)).toEqual([7, 8, 9].map(uuidOf))
})

function secondOf(number: number): string {
  return `2026-03-01T12:00:${String(number).padStart(2, '0')}.000001Z`
}
