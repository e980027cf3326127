import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDashboardReads, readDashboard } from '../../src/report/dashboard-data.js'
import { toReportFile } from '../../src/report/page.js'
import { fillDashboard, fillResults } from '../support/dashboard-example.js'
import { RATE_LIMIT, serveDashboard } from '../support/dashboard-server.js'
import { createTestDatabase } from '../support/test-database.js'

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium'
const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url))
const isThere = existsSync(CHROMIUM)

/** Without Chromium the tests are skipped, and their name says so. */
const title = isThere
  ? 'in Chromium'
  : `SKIPPED, because ${CHROMIUM} does not exist (apt-get install chromium, or set CHROMIUM_PATH)`

describe.skipIf(!isThere)(title, async () => {
  const database = await createTestDatabase()
  const server = await serveDashboard({
    ...{ account: 'default', accounts: () => ['default'] },
    reads: createDashboardReads(database.db, RATE_LIMIT),
  })
  let browser: Browser

  beforeAll(async () => {
    await fillDashboard(database)
    await mkdir(SCREENSHOTS, { recursive: true })
    const args = ['--no-sandbox', '--disable-quic', '--disable-background-networking', '--no-first-run']
    browser = await chromium.launch({ executablePath: CHROMIUM, args })
  })
  afterAll(async () => {
    await browser?.close()
    await server[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  /** Opens the page; `faults` are messages of its console and requests to other hosts. */
  async function opened(url: string, options: BrowserContextOptions = {}) {
    const context = await browser.newContext(options)
    const page = await context.newPage()
    const faults: string[] = []
    page.on('console', (message) => faults.push(message.text()))
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('dialog', (dialog) => faults.push(`dialog ${dialog.message()}`))
    page.on('request', (request) => {
      if (!/^(data|file):/.test(request.url()) && new URL(request.url()).origin !== new URL(url).origin)
        faults.push(request.url())
    })
    await page.goto(url, { waitUntil: 'networkidle' })
    return { page, faults, [Symbol.asyncDispose]: () => context.close() }
  }

  /** Whether the page is wider than the screen. */
  const overflow = (page: Page) =>
    page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')

  const VIEWS = [
    { name: 'light', options: { viewport: { width: 1280, height: 900 }, colorScheme: 'light' } },
    { name: 'dark', options: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' } },
    { name: 'tablet', options: { viewport: { width: 768, height: 1024 }, colorScheme: 'light' } },
    { name: 'phone', options: { viewport: { width: 375, height: 812 }, deviceScaleFactor: 2, colorScheme: 'dark' } },
  ] as const

  test.each(VIEWS)(
    '$name: shows five charts, without horizontal scrolling, errors or requests to other hosts',
    async ({ name, options }) => {
      await using view = await opened(server.url, options)

      await view.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true })

      expect(await view.page.locator('svg.chart:visible').count()).toBe(5)
      expect(await overflow(view.page)).toBe(0)
      expect(view.faults).toEqual([])
    },
  )

  test('short lists stand side by side, above the only long one', async () => {
    await database.sql(`
      INSERT INTO spidra.sync_state (account, is_whole, last_complete_at) VALUES ('quiet', true, now()), ('bare', true, now());
      INSERT INTO spidra.batch_job_events (uuid, account, run_id, observed_at, kind, from_status, to_status)
      SELECT md5('quiet' || i)::uuid, 'quiet', 1, now() - make_interval(mins => i), 'status_changed', 'running', 'completed'
      FROM generate_series(1, 15) i`)
    const topsOf = async ({ page }: { page: Page }, titles: readonly string[]) => {
      const boxes = titles.map((title) => page.locator('section.card > h2', { hasText: title }))
      return Promise.all(boxes.map(async (box) => Math.round((await box.boundingBox())?.y ?? 0)))
    }
    const titles = ['Open jobs', 'Stuck jobs', 'Rejections', 'Latest changes']
    const viewport = { width: 1440, height: 900 }
    await using quiet = await opened(`${server.url}/?account=quiet`, { viewport })
    await using empty = await opened(`${server.url}/?account=bare`, { viewport })

    const [open, stuck, rejections, changes = 0] = await topsOf(quiet, titles)
    expect([stuck, rejections]).toEqual([open, open])
    expect(changes).toBeGreaterThan(open ?? 0)
    expect(new Set(await topsOf(empty, titles)).size).toBe(1)
  })

  test('on a phone no duration breaks, and no SQL is cut off', async () => {
    await using view = await opened(server.url, { viewport: { width: 390, height: 844 } })

    expect(await view.page.locator('h1').innerText()).toMatch(/\d\u00a0s ago; next run in \d+\u00a0min/)
    expect(
      await view.page.evaluate(
        "[...document.querySelectorAll('pre')].filter((block) => block.scrollWidth > block.clientWidth).length",
      ),
    ).toBe(0)
  })

  const PAGES = ['/', '/overview', '/jobs', '/?account=nobody'] as const

  test.each(PAGES)(
    '%s has no violation that axe-core finds, in light and dark, with all tables opened',
    async (path) => {
      const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
      for (const colorScheme of ['light', 'dark'] as const) {
        await using view = await opened(`${server.url}${path}`, { colorScheme })
        await view.page.evaluate('for (const details of document.querySelectorAll("details")) details.open = true')
        await view.page.evaluate(axe)
        const found = await view.page.evaluate(`axe.run().then(({ violations }) =>
          violations.map(({ id, nodes }) => [id, ...nodes.slice(0, 5).map(({ failureSummary, html }) => failureSummary + html)]))`)

        expect([colorScheme, found]).toEqual([colorScheme, []])
      }
    },
    120_000,
  )

  test.each(PAGES)('%s fits on a screen of 390 pixels, and shows the same without a script', async (path) => {
    const phone = { viewport: { width: 390, height: 844 } }
    await using view = await opened(`${server.url}${path}`, phone)
    await using plain = await opened(`${server.url}${path}`, { ...phone, javaScriptEnabled: false })

    expect(await overflow(view.page)).toBe(0)
    expect(view.faults.filter((fault) => !fault.includes('404'))).toEqual([])
    const rows = async ({ page }: { page: Page }) => page.locator('tbody tr').count()
    expect(await rows(plain)).toBe(await rows(view))
  })

  describe('with results', async () => {
    const own = await createTestDatabase()
    const withResults = await serveDashboard({
      ...{ account: 'default', accounts: () => ['default'] },
      reads: createDashboardReads(own.db, RATE_LIMIT),
    })
    beforeAll(async () => {
      await fillDashboard(own)
      await fillResults(own)
    })
    afterAll(async () => {
      await withResults[Symbol.asyncDispose]()
      await own[Symbol.asyncDispose]()
    })

    test.each([1440, 820, 390])(
      'fits %i pixels, and axe-core finds nothing, in light and dark',
      async (width) => {
        const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
        for (const colorScheme of ['light', 'dark'] as const) {
          await using view = await opened(withResults.url, { viewport: { width, height: 900 }, colorScheme })
          await view.page.screenshot({ path: join(SCREENSHOTS, `results-${width}-${colorScheme}.png`), fullPage: true })
          expect(await view.page.locator('svg.chart:visible').count()).toBe(6)
          expect(await overflow(view.page)).toBe(0)
          await view.page.evaluate('for (const details of document.querySelectorAll("details")) details.open = true')
          await view.page.evaluate(axe)
          const found = await view.page.evaluate(`axe.run().then(({ violations }) =>
          violations.map(({ id, nodes }) => [id, ...nodes.slice(0, 5).map(({ failureSummary, html }) => failureSummary + html)]))`)
          expect([colorScheme, found]).toEqual([colorScheme, []])
          expect(view.faults).toEqual([])
        }
      },
      120_000,
    )
  })

  test('the pointer over a chart shows the values of the nearest day or run', async () => {
    await using view = await opened(server.url, { viewport: { width: 1280, height: 900 } })
    const charts = view.page.locator('svg.chart.wide')
    expect(await charts.count()).toBe(5)

    for (let i = 0; i < 5; i += 1) {
      const chart = charts.nth(i)
      const { width = 0 } = (await chart.boundingBox()) ?? {}
      await chart.hover({ position: { x: width - 4, y: 40 } })
      const cells = await view.page.evaluate(
        `Array.from(document.querySelectorAll('figure ~ details tbody')[${i}].rows[0].cells, (cell) => cell.textContent)`,
      )
      const tip = await view.page.locator('.tip b').allInnerTexts()
      expect(tip).toEqual(cells)
    }
    await view.page.locator('h1').hover()
    expect(await view.page.locator('.tip').isVisible()).toBe(false)
  })

  test('a refresh shows new numbers, and keeps opened tables, positions of scrolling and the focus', async () => {
    await using view = await opened(server.url, { viewport: { width: 1280, height: 900 } })
    const stored = () => view.page.locator('[data-number="stored"]').innerText()
    const before = await stored()
    await view.page.locator('summary').nth(1).click()
    await view.page.evaluate('document.querySelectorAll("details .scroll")[1].scrollTop = 50; scrollTo(0, 400)')
    await database.sql(`INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, created_at, finished_at)
      VALUES ('ffffffff-0000-4000-8000-000000000000', 'completed', 1, 1, 0, now(), now())`)

    await view.page.waitForTimeout(1_100)
    await view.page.evaluate('document.dispatchEvent(new Event("visibilitychange"))')

    await expect.poll(stored).not.toBe(before)
    expect(
      await view.page.evaluate(`[
        [...document.querySelectorAll('details')].map((details) => details.open),
        document.querySelectorAll('details .scroll')[1].scrollTop, scrollY, document.activeElement.tagName]`),
    ).toEqual([[false, true, false, false, false], 50, 400, 'SUMMARY'])
    await database.sql(`DELETE FROM spidra.batch_jobs WHERE uuid = 'ffffffff-0000-4000-8000-000000000000'`)
    expect(view.faults).toEqual([])
  })

  test('a refresh without an answer says so, and shows the last numbers', async () => {
    await using view = await opened(server.url)
    await view.page.route('**/*', (route) => route.abort())

    await view.page.evaluate('document.dispatchEvent(new Event("visibilitychange"))')

    await view.page.locator('.offline').waitFor()
    expect(await view.page.locator('.tile').count()).toBe(6)
  })

  test('times have the local one beside them, and none is added where local time is UTC', async () => {
    await using kolkata = await opened(server.url, { timezoneId: 'Asia/Kolkata' })
    await using utc = await opened(server.url, { timezoneId: 'UTC' })

    const [time, local] = (await kolkata.page.evaluate(
      "[document.querySelector('h1 time').dateTime, document.querySelector('h1 .local').textContent]",
    )) as [string, string]
    const there = new Date(Date.parse(time) + 5.5 * 3_600_000).toISOString().slice(11, 19)
    expect(local).toContain(`${there} local)`)
    expect(await utc.page.locator('.local').count()).toBe(0)
  })

  test('a table is saved as CSV with whole numbers and uuids, and no cell that a spreadsheet would run', async () => {
    await using view = await opened(server.url)
    const csvOf = async (title: string) => {
      const saved = view.page.waitForEvent('download')
      await view.page.getByRole('button', { name: `Save as CSV: ${title}` }).click()
      const download = await saved
      return { name: download.suggestedFilename(), text: await readFile(await download.path(), 'utf8') }
    }
    const { name, text } = await csvOf('Jobs a day')
    const jobs = await csvOf('Stuck jobs')

    expect(name).toBe('jobs-a-day.csv')
    const [heading, ...rows] = text.slice(1).trim().split('\r\n')
    expect(heading).toBe('Day,Jobs,Succeeded,Partly failed,Failed,Cancelled,Open')
    expect(rows).toHaveLength(30)
    expect(rows.every((row) => /^\d{4}-\d\d-\d\d(,\d+){6}$/.test(row))).toBe(true)
    expect(jobs.text).toMatch(/^[0-9a-f-]{36},13 \/ 50,/m)
  })

  test('a button copies the SQL of a number', async () => {
    await using view = await opened(server.url, { permissions: ['clipboard-read', 'clipboard-write'] })

    await view.page.getByRole('button', { name: 'Copy SQL: How fresh is this?' }).click()

    await expect.poll(() => view.page.evaluate('navigator.clipboard.readText()')).toMatch(/^SELECT now\(\) AS read_at,/)
  })

  test('the colours of the charts follow the scheme', async () => {
    const fillOf = async (colorScheme: 'light' | 'dark') => {
      await using view = await opened(server.url, { colorScheme })
      const bar = `svg.chart.wide path[fill="var(--succeeded)"]`
      const fill = await view.page.evaluate(`getComputedStyle(document.querySelector('${bar}')).fill`)
      return fill
    }

    expect([await fillOf('light'), await fillOf('dark')]).toEqual(['rgb(42, 157, 127)', 'rgb(63, 185, 150)'])
  })

  test('the SQL that a number links to returns that number', async () => {
    await using view = await opened(`${server.url}/?channel=api&days=7`)
    const answerTo = async (number: string) => {
      const link = view.page.locator(`[data-number="${number}"]`)
      const target = (await link.getAttribute('href')) ?? ''
      const rows = await database.sql(await view.page.locator(`${target} + pre`).innerText())
      return { shown: await link.innerText(), rows, total: rows.at(-1) ?? {}, today: rows.at(-2) ?? {} }
    }

    for (const [number, column] of [
      ['jobs', 'jobs'],
      ['urls', 'urls'],
    ] as const) {
      const { shown, total } = await answerTo(number)
      expect([number, shown]).toEqual([number, Number(total[column]).toLocaleString('en')])
      expect(Number(total[column])).toBeGreaterThan(0)
    }
    const today = await answerTo('jobs-today')
    expect(today.shown).toBe(String(today.today.jobs))
    const { shown, total } = await answerTo('success')
    expect(Math.abs(Number.parseFloat(shown) - 100 * Number(total.success_rate))).toBeLessThan(0.1)
    const views = await database.sql(`SELECT count(*) AS jobs FROM spidra_reporting.batch_jobs
      WHERE scraping_channel = 'api' AND created_date > (now() AT TIME ZONE 'UTC')::date - 7`)
    expect((await answerTo('jobs')).total.jobs).toBe(views[0]?.jobs)
  })

  test('the form filters without a script, and puts the filters into the URL', async () => {
    await using view = await opened(server.url)

    await view.page.getByRole('combobox', { name: 'Channel' }).selectOption('playground')
    await view.page.getByRole('combobox', { name: 'Period' }).selectOption('7')
    await view.page.getByRole('button', { name: 'Show' }).click()

    expect(new URL(view.page.url()).search).toBe('?account=default&channel=playground&days=7')
    const [row] = await database.sql(`SELECT sum(jobs)::text AS jobs FROM spidra_reporting.daily_batch_jobs
      WHERE scraping_channel = 'playground' AND day > (now() AT TIME ZONE 'UTC')::date - 7`)
    expect(await view.page.locator('[data-number="jobs"]').innerText()).toBe(row?.jobs)
    expect(view.faults).toEqual([])
  })

  test('the keyboard reaches the skip link first, and the tables behind the charts', async () => {
    await using view = await opened(server.url)

    await view.page.keyboard.press('Tab')
    expect(await view.page.evaluate('document.activeElement?.textContent')).toBe('Skip to the numbers')
    await view.page.locator('summary').first().focus()
    await view.page.keyboard.press('Enter')
    expect(await view.page.locator('details[open] table').count()).toBe(1)
  })

  test('the file of "report --html" shows the same charts from disk, without any request', async () => {
    const path = join(SCREENSHOTS, 'report.html')
    const data = await readDashboard(database.db, { account: 'default', channel: null, days: 30 }, { isExact: true })
    await writeFile(path, toReportFile(data))

    await using view = await opened(`file://${path}`, { viewport: { width: 1280, height: 900 } })

    expect(await view.page.locator('svg.chart:visible').count()).toBe(5)
    expect(await view.page.getByRole('button', { name: 'Save as CSV' }).count()).toBe(10)
    expect(await view.page.evaluate("getComputedStyle(document.querySelector('.tile')).borderRadius")).toBe('12px')
    expect(view.faults).toEqual([])
  })
})
