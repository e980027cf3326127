import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { jobRow, openRun, uuidOf } from '../support/job-rows.js'
import { createTestDatabase } from '../support/test-database.js'

const page = readFileSync('docs/bi.md', 'utf8')

test('the first chart of docs/bi.md shows every day, and the jobs of today', async () => {
  await using database = await createTestDatabase()
  const at = new Date().toISOString()
  const earlier = new Date(Date.now() - 3 * 86_400_000).toISOString()
  await mergeJobs(database.db, await openRun(database.db), [
    jobRow({ uuid: uuidOf(1), createdAt: at }),
    jobRow({ uuid: uuidOf(2), createdAt: earlier, status: 'cancelled' }),
  ])
  await database.sql("INSERT INTO spidra.sync_state (account) VALUES ('default')")
  const [chart = '', trust = ''] = [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')

  const days = await database.sql<{ cancelled: string; open: string }>(chart)

  expect(days.length).toBeGreaterThanOrEqual(4)
  expect(days.map(({ cancelled, open }) => [cancelled, open]).filter(([a, b]) => a !== '0' || b !== '0')).toEqual([
    ['1', '0'],
    ['0', '1'],
  ])
  expect(await database.sql(trust)).toMatchObject([{ account: 'default', complete_as_of: null }])
})

test('docs/bi.md names the role, the files and the variables of compose.yaml correctly', () => {
  const compose = readFileSync('compose.yaml', 'utf8')
  const variables = [
    ...new Set(
      [...compose.matchAll(/\$\{(GRAFANA_\w+)(?::-(\w+))?\}/g)].map(([, name, value]) => `\`${name}\` | \`${value}\``),
    ),
  ]

  expect(variables.length).toBe(3)
  for (const variable of variables) expect(page).toContain(variable)
  const links = [...page.matchAll(/\]\(([\w/.]+)\)/g)].map(([, file]) => `docs/${file}`)
  for (const file of [...links, 'dashboards/grafana/reader.sql', 'dashboards/grafana/overview.json']) {
    expect(page).toContain(file.split('/').at(-1))
    expect(existsSync(file), file).toBe(true)
  }
})
