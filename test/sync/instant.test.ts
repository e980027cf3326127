import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toMicros, toTimestamp } from '../../src/sync/instant.js'
import { createTestDatabase } from '../support/test-database.js'

test('reads microseconds, offsets and timestamps without seconds', () => {
  expect(toMicros('1970-01-01T00:00:00Z')).toBe(0n)
  expect(toMicros('1970-01-01T01:00:00.000001+01:00')).toBe(1n)
  expect(toMicros('1969-12-31T23:59:59.999999Z')).toBe(-1n)
  expect(toMicros('2026-01-01T00:00Z')).toBe(toMicros('2026-01-01T00:00:00Z'))
})

test('writes what it read', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n }), (micros) => {
      expect(toMicros(toTimestamp(micros))).toBe(micros)
    }),
  )
})

test('rounds as Postgres does, so that a bound meets the stored value', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  const fractions = [
    '1234565',
    '1234575',
    '0000005',
    '0000015',
    '9999995',
    '99999949',
    '5',
    '123456789012345',
    '0000000',
  ]
  const stamps = fractions.flatMap((fraction) => [
    `2026-03-04T05:06:07.${fraction}Z`,
    `1960-03-04T05:06:07.${fraction}+05:30`,
  ])
  const rows = await database.sql<{ micros: string }>(
    `SELECT (extract(epoch FROM stamp::timestamptz) * 1000000)::bigint::text AS micros
     FROM unnest($1::text[]) WITH ORDINALITY AS s(stamp, place) ORDER BY place`,
    [stamps],
  )
  expect(stamps.map((stamp) => String(toMicros(stamp)))).toEqual(rows.map((row) => row.micros))
})
