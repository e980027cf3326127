import { expect, test } from 'vitest'
import { createTestDatabase } from '../support/test-database.js'

interface Column {
  readonly view: string
  readonly about: string
  readonly name: string
  readonly type: string
  readonly words: string
}

const HEAD = `# The views of spidra-sync as sources of a dbt project: copy to models/. \`npx vitest run test/dashboards/dbt.test.ts -u\`
# writes this file from the comments in the database.
version: 2

sources:
  - name: spidra
    schema: spidra_reporting
    description: "Batch jobs of Spidra accounts, kept complete and fresh by spidra-sync."
    tables:`

/** The checks that dbt runs, by view and column. */
const EXTRA: Readonly<Record<string, string>> = {
  sync_freshness: `
        loaded_at_field: complete_as_of
        freshness:
          warn_after: {count: 15, period: minute}
          error_after: {count: 60, period: minute}`,
  'batch_jobs.uuid': `
            data_tests: [not_null, unique]`,
  'sync_freshness.account': `
            data_tests: [not_null, unique]`,
}

test('docs/dbt/sources.yml names exactly the views and columns, in the words of their comments', async () => {
  await using database = await createTestDatabase()
  const columns = await database.sql<Column & Record<string, unknown>>(`
    SELECT c.relname AS view, obj_description(c.oid, 'pg_class') AS about, a.attname AS name,
      format_type(a.atttypid, NULL) AS type, col_description(c.oid, a.attnum) AS words
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'v' AND c.relnamespace = 'spidra_reporting'::regnamespace
    ORDER BY c.relname COLLATE "C", a.attnum`)
  const views = [...new Set(columns.map(({ view }) => view))]
  expect(views).toHaveLength(15)

  const tables = views.map((view) => {
    const own = columns.filter((column) => column.view === view)
    const lines = own.map(
      ({ name, type, words }) => `
          - name: ${name}
            data_type: ${type}
            description: ${JSON.stringify(words)}${EXTRA[`${view}.${name}`] ?? ''}`,
    )
    return `
      - name: ${view}
        description: ${JSON.stringify(own[0]?.about)}${EXTRA[view] ?? ''}
        columns:${lines.join('')}`
  })
  await expect(`${HEAD}${tables.join('')}\n`).toMatchFileSnapshot('../../docs/dbt/sources.yml')
})
