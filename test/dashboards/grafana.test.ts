import { readFileSync } from 'node:fs'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { migrate } from '../../src/db/migrate.js'
import { finishRun } from '../../src/db/sync-runs.js'
import { asAdmin } from '../support/admin.js'
import { createCliDatabase } from '../support/cli-database.js'
import { jobRow, openRun, RUN_END, uuidOf } from '../support/job-rows.js'
import { createTestDatabase } from '../support/test-database.js'
import { toPlainSql, type View } from './grafana-sql.js'

interface Target {
  readonly refId: string
  readonly datasource: unknown
  readonly format: 'table' | 'time_series'
  readonly rawSql: string
}

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly datasource?: unknown
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly Target[]
  readonly fieldConfig?: {
    readonly defaults: { readonly unit?: string }
    readonly overrides: readonly { readonly matcher: { readonly id: string; readonly options: string } }[]
  }
}

interface Dashboard {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { name: string; query: string; datasource: unknown }[] }
}

const read = (path: string) => readFileSync(path, 'utf8')
const dashboard: Dashboard = JSON.parse(read('dashboards/grafana/overview.json'))
const charts = dashboard.panels.filter(({ type }) => type !== 'row')
const named = charts.map((panel) => ({ title: panel.title, panel }))
const panelOf = (title: string) => charts.find((panel) => panel.title === title) as Panel

/** Type OIDs of Postgres. */
const NUMBERS = [20, 23, 701]
const TIMESTAMPTZ = 1184
const PLAIN = [...NUMBERS, TIMESTAMPTZ, 16, 25]

const database = await createTestDatabase()
const role = `${database.name}_grafana`
const view: View = {
  from: new Date('2026-02-20T00:00:00Z'),
  to: new Date('2026-03-03T12:00:00Z'),
  interval: '1h',
  variables: { account: ['default', "o'clock"], channel: ['api', '(none)'] },
}
let grafana: Client

/** The statements of reader.sql for a role of this test, with the password filled in as psql does. */
const readerSql = () =>
  read('dashboards/grafana/reader.sql').replaceAll('spidra_grafana', role).replaceAll(":'password'", "'quite secret'")

async function connectAsGrafana(url: string): Promise<Client> {
  const asReader = new URL(url)
  asReader.username = role
  asReader.password = encodeURIComponent('quite secret')
  const client = new Client({ connectionString: asReader.href })
  await client.connect()
  return client
}

beforeAll(async () => {
  const run = await openRun(database.db)
  await mergeJobs(database.db, run, [
    jobRow({
      uuid: uuidOf(1),
      status: 'completed',
      completedCount: 10,
      failedCount: 0,
      createdAt: '2026-03-01T10:00:00Z',
      finishedAt: '2026-03-01T10:01:40Z',
    }),
    jobRow({
      uuid: uuidOf(2),
      status: 'completed',
      completedCount: 5,
      failedCount: 5,
      createdAt: '2026-03-01T11:00:00Z',
      finishedAt: '2026-03-01T11:00:20Z',
    }),
    jobRow({ uuid: uuidOf(3), scrapingChannel: null, outputFormat: null, createdAt: '2026-03-02T11:00:00Z' }),
    jobRow({ uuid: uuidOf(4), scrapingChannel: 'playground' }),
  ])
  await mergeJobs(database.db, run, [
    jobRow({
      uuid: uuidOf(3),
      status: 'failed',
      scrapingChannel: null,
      outputFormat: null,
      createdAt: '2026-03-02T11:00:00Z',
    }),
  ])
  await finishRun(database.db, run, RUN_END)
  await database.sql(`
    INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('default', now());
    UPDATE spidra.sync_runs SET started_at = '2026-03-02T11:30:00Z', finished_at = '2026-03-02T11:30:05Z';
    UPDATE spidra.batch_job_events SET observed_at = '2026-03-02T11:30:00Z'`)
  await database.sql(readerSql())
  grafana = await connectAsGrafana(database.url)
})

afterAll(async () => {
  await grafana.end()
  await database[Symbol.asyncDispose]()
  await asAdmin(inject('testServer').adminUrl, (admin) => admin.query(`DROP ROLE "${role}"`))
})

const ask = (sql: string, variables: View['variables'] = {}) =>
  grafana.query(toPlainSql(sql, { ...view, variables: { ...view.variables, ...variables } }))
const rowsOf = async (title: string, variables: View['variables'] = {}) =>
  (await ask(panelOf(title).targets?.[0]?.rawSql ?? '', variables)).rows

describe('each panel', () => {
  test.each(named)('$title: its query runs as the reader, and returns columns of plain types', async ({ panel }) => {
    expect(panel.targets?.length).toBeGreaterThan(0)
    for (const { rawSql, format } of panel.targets ?? []) {
      const { fields } = await ask(rawSql)
      const types = Object.fromEntries(fields.map(({ name, dataTypeID }) => [name, dataTypeID]))

      expect(Object.keys(types)).toHaveLength(fields.length)
      for (const [name, type] of Object.entries(types)) {
        const isEpoch = name === 'time' && rawSql.includes('$__timeGroupAlias')
        expect(isEpoch ? [1700, 701] : PLAIN, name).toContain(type)
      }
      if (format === 'time_series') {
        const { time, ...series } = types
        expect(time).toBe(rawSql.includes('$__timeGroupAlias') ? 1700 : TIMESTAMPTZ)
        expect(Object.keys(series).length).toBeGreaterThan(0)
        for (const [name, type] of Object.entries(series)) expect(NUMBERS, name).toContain(type)
        expect(rawSql).toMatch(/ORDER BY (1|day|created_date)$/)
      }
    }
  })

  test.each(named)(
    '$title: has a title, a description, a unit, and overrides for existing columns only',
    async ({ panel }) => {
      expect(panel.title).not.toBe('')
      expect(panel.description).toMatch(/\.$/)
      expect(panel.fieldConfig?.defaults.unit).toMatch(/^\w+$/)
      const columns = (await Promise.all((panel.targets ?? []).map(({ rawSql }) => ask(rawSql)))).flatMap(
        ({ fields }) => fields.map(({ name }) => name),
      )
      for (const { matcher } of panel.fieldConfig?.overrides ?? []) {
        expect(matcher.id).toBe('byName')
        expect(columns).toContain(matcher.options)
      }
    },
  )

  test.each(named)('$title: filters by the chosen accounts', async ({ panel }) => {
    for (const { rawSql } of panel.targets ?? []) expect(rawSql).toMatch(/account IN \(\$\{account:sqlstring\}\)/)
  })
})

test('no two panels share an id or a cell, and none is wider than the grid', () => {
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
  const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
  )
  expect(new Set(cells).size).toBe(cells.length)
  for (const { gridPos } of dashboard.panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
})

test('every target has a unique name in its panel, and the provisioned data source', () => {
  const source = read('dashboards/grafana/provisioning/datasources/spidra-sync.yaml')
  const datasource = { type: /^ {4}type: (.+)$/m.exec(source)?.[1], uid: /^ {4}uid: (.+)$/m.exec(source)?.[1] }
  for (const { datasource: ofPanel, targets = [] } of charts) {
    expect(ofPanel).toEqual(datasource)
    expect(targets.map((target) => target.datasource)).toEqual(targets.map(() => datasource))
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length)
  }
  for (const variable of dashboard.templating.list) expect(variable.datasource).toEqual(datasource)
})

test('the query of every variable returns one column of text, and at least one choice even without jobs', async () => {
  const empty = await createTestDatabase()
  for (const { name, query } of dashboard.templating.list) {
    const { fields, rows } = await ask(query)
    expect(
      fields.map(({ dataTypeID }) => dataTypeID),
      name,
    ).toEqual([25])
    expect(rows.length, name).toBeGreaterThan(0)
    expect((await empty.sql(query)).length, name).toBeGreaterThan(0)
  }
  await empty[Symbol.asyncDispose]()
  expect(dashboard.templating.list.map(({ name }) => name)).toEqual(Object.keys(view.variables))
})

test('the numbers are those of the jobs in the time range and of the chosen channels', async () => {
  expect(await rowsOf('Jobs')).toEqual([{ jobs: '3' }])
  expect(await rowsOf('URLs')).toEqual([{ urls: '30' }])
  expect(await rowsOf('URL success rate')).toEqual([{ success_rate: 18 / 24 }])
  expect(await rowsOf('p95 duration')).toEqual([{ p95_duration_seconds: 96 }])
  expect(await rowsOf('Partly failed jobs')).toEqual([{ partly_failed_jobs: '1' }])
  expect(await rowsOf('Open jobs')).toHaveLength(1)
  const days = await rowsOf('Jobs a day, by outcome')
  expect(days.slice(0, 2)).toEqual([
    {
      time: new Date('2026-03-01T00:00:00Z'),
      succeeded: '1',
      partly_failed: '1',
      failed: '0',
      cancelled: '0',
      open: '0',
    },
    {
      time: new Date('2026-03-02T00:00:00Z'),
      succeeded: '0',
      partly_failed: '0',
      failed: '1',
      cancelled: '0',
      open: '0',
    },
  ])
  expect((await rowsOf('Jobs a day, by outcome', { channel: ['playground'] })).slice(0, 2)).toMatchObject([
    { time: new Date('2026-03-01T00:00:00Z'), open: '1' },
    { time: new Date('2026-03-02T00:00:00Z'), failed: '0', open: '0' },
  ])
  expect(await rowsOf('Duration of jobs, by day')).toMatchObject([{ p50: 60, p95: 96, max: 100 }, { p50: null }])
  expect(await rowsOf('Jobs by channel and format')).toEqual([
    { kind: 'api, json', jobs: '2' },
    { kind: '(none), (none)', jobs: '1' },
  ])
  expect(await rowsOf('Requests to the API')).toEqual([
    { time: String(Date.parse('2026-03-02T11:00:00Z') / 1000), requests: '1', retries: '2' },
  ])
  expect(await rowsOf('Latest changes of status')).toMatchObject([{ from_status: 'running', to_status: 'failed' }])
  expect(await rowsOf('Last runs')).toMatchObject([{ status: 'complete', requests: 1 }])
})

test('the panels of results are empty while these are off, and show what was read where they are kept', async () => {
  expect(await rowsOf('Results due')).toEqual([{ results_due: null }])
  expect([await rowsOf('Credits a day'), await rowsOf('Failing hosts')]).toEqual([[], []])
  await database.sql(`
    UPDATE spidra.sync_state SET results_mode = 'items', results_noted_to = '-infinity';
    INSERT INTO spidra.results_due (uuid, account, created_at) VALUES ('${uuidOf(1)}', 'default', '2026-03-01');
    INSERT INTO spidra.batch_reads (uuid, account, status, completed_count, failed_count, outcome, has_results, items, credits)
    VALUES ('${uuidOf(2)}', 'default', 'completed', 5, 5, 'complete', false, 10, 7.5);
    INSERT INTO spidra.batch_items (uuid, batch_uuid, account, position, url, status, error, finished_at)
    VALUES ('${uuidOf(2)}', '${uuidOf(2)}', 'default', 0, 'https://a.example/', 'failed', 'HTTP 403', now())`)

  expect(await rowsOf('Results due')).toEqual([{ results_due: '1' }])
  expect(await rowsOf('Credits a day')).toEqual([{ time: new Date('2026-03-01T00:00:00Z'), credits: 7.5 }])
  expect(await rowsOf('Credits a day', { channel: ['playground'] })).toEqual([])
  expect(await rowsOf('Failing hosts')).toMatchObject([{ host: 'a.example', error: 'HTTP 403', urls: '1' }])
})

test('compose.yaml sets every variable of the data source for Grafana, and mounts the provisioned files', () => {
  const [, service = ''] = read('compose.yaml').split('\n  grafana:\n')
  const given = [...service.matchAll(/^ {6}(SPIDRA_DB_\w+):/gm)].map(([, name]) => name)
  const source = read('dashboards/grafana/provisioning/datasources/spidra-sync.yaml')
  const wanted = [...source.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name)
  expect([...new Set(given)].sort()).toEqual([...new Set(wanted)].sort())

  const provider = read('dashboards/grafana/provisioning/dashboards/spidra-sync.yaml')
  const path = /path: (.+)/.exec(provider)?.[1]
  expect(service).toContain(`./dashboards/grafana/overview.json:${path}/overview.json:ro`)
  for (const kind of ['datasources', 'dashboards']) {
    expect(service).toContain(`./dashboards/grafana/provisioning/${kind}:/etc/grafana/provisioning/${kind}:ro`)
  }
  expect(read('dashboards/grafana/reader.sql')).toContain(
    `ALTER ROLE ${/SPIDRA_DB_USER: (\w+)/.exec(service)?.[1]} LOGIN`,
  )
})

test('the reader can read every view, no table, and can write nothing', async () => {
  const views = await database.sql<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind = 'v' AND relnamespace = 'spidra_reporting'::regnamespace`,
  )
  for (const { name } of views)
    await expect(grafana.query(`SELECT * FROM spidra_reporting.${name}`), name).resolves.toBeDefined()

  await expect(grafana.query('SELECT FROM spidra.batch_jobs')).rejects.toMatchObject({ code: '42501' })
  await expect(grafana.query('CREATE TABLE spidra_reporting.mine ()')).rejects.toMatchObject({
    code: expect.stringMatching(/42501|25006/),
  })
})

test('reader.sql can run before the worker has created the views, and again after that', async () => {
  await using own = await createCliDatabase()
  const { adminUrl } = inject('testServer')
  await asAdmin(adminUrl, (admin) => admin.query(`ALTER ROLE "${new URL(own.url).username}" CREATEROLE`))
  await asAdmin(adminUrl, (admin) => admin.query(`GRANT "${role}" TO "${new URL(own.url).username}" WITH ADMIN OPTION`))
  const apply = async () => {
    const client = new Client({ connectionString: own.url })
    await client.connect()
    await client.query(readerSql()).finally(() => client.end())
  }
  const look = async () => {
    const reader = await connectAsGrafana(own.url)
    await reader.query('SELECT * FROM spidra_reporting.sync_freshness').finally(() => reader.end())
  }
  await apply()
  await migrate(own.url)
  await expect(look()).resolves.toBeUndefined()

  await apply()
  await expect(look()).resolves.toBeUndefined()
})
