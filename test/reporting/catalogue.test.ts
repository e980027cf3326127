import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../support/test-database.js'

const TYPES = ['timestamp with time zone', 'date', 'integer', 'bigint', 'double precision', 'text', 'boolean', 'uuid']

const COLUMNS = `SELECT table_name AS view, column_name AS column, data_type AS type FROM information_schema.columns
  WHERE table_schema = 'spidra_reporting' ORDER BY table_name, ordinal_position`

test('every column of every view has a type that BI tools support', async () => {
  await using database = await createTestDatabase()
  const columns = await database.sql<{ view: string; column: string; type: string }>(COLUMNS)

  expect(columns.length).toBeGreaterThan(90)
  expect(columns.filter(({ type }) => !TYPES.includes(type))).toEqual([])
  expect(
    columns.filter(({ column, type }) => /_rate$|_seconds$|^progress$/.test(column) && type !== 'double precision'),
  ).toEqual([])
  expect(
    columns.filter(({ column, type }) => /_at$|_as_of$|_since$/.test(column) && type !== 'timestamp with time zone'),
  ).toEqual([])
})

test('docs/sql.md names every view, and no column that does not exist', async () => {
  await using database = await createTestDatabase()
  const columns = await database.sql<{ view: string; column: string }>(COLUMNS)
  const page = readFileSync('docs/sql.md', 'utf8')
  const cells = [...page.matchAll(/^\| (`.+?) \|/gm)].flatMap(([, cell = '']) => cell.match(/[a-z_0-9]+/g) ?? [])

  const known = new Set(columns.flatMap(({ view, column }) => [view, column]))
  const beneath = await database.sql<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = 'spidra'::regnamespace AND relkind = 'r'`,
  )
  for (const { name } of beneath) known.add(name)
  expect(cells.filter((cell) => !known.has(cell))).toEqual([])
  expect(new Set(columns.map(({ view }) => view).filter((view) => !cells.includes(view)))).toEqual(new Set())
})
