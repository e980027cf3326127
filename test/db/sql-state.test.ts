import { expect, test } from 'vitest'
import { readPostgresError } from '../../src/db/sql-state.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()

/** Prisma's adapter gives most of these a kind of its own, each in another shape. */
const SQL_STATES = [
  '22001',
  '22003',
  '22007',
  '22008',
  '22021',
  '22P02',
  '22P05',
  '23502',
  '23503',
  '23505',
  '25006',
  '40001',
  '40P01',
  '42501',
  '42703',
  '42P01',
  '53100',
  '53300',
  '54000',
  '54001',
  '55P03',
  '57014',
  'P0001',
]

test.each(SQL_STATES)('reads SQLSTATE %s and the message through either driver', async (code) => {
  const raise = `DO $$ BEGIN RAISE EXCEPTION 'it is "so"' USING ERRCODE = '${code}'; END $$`

  for (const run of [() => database.sql(raise), () => database.db.$executeRawUnsafe(raise)]) {
    expect(readPostgresError(await rejection(run()))).toEqual({ code, message: 'it is "so"' })
  }
})

test('an error that Postgres did not raise has none', async () => {
  expect(readPostgresError(new Error('ECONNREFUSED'))).toBeNull()
  expect(readPostgresError(Object.assign(new Error('no'), { code: 'ECONN' }))).toBeNull()
  expect(readPostgresError(Object.assign(new Error('no'), { code: 'P2002' }))).toBeNull()
  expect(readPostgresError(Object.assign(new Error('no'), { meta: { driverAdapterError: {} } }))).toBeNull()
  expect(readPostgresError('22P02')).toBeNull()
  expect(readPostgresError(undefined)).toBeNull()
})

function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error,
  )
}
