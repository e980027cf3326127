import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDashboardReads, readDashboard } from '../../src/report/dashboard-data.js'
import { toReportFile } from '../../src/report/page.js'
import { fillDashboard } from '../support/dashboard-example.js'
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
      if (!/^(data|file):/.test(request.url()) && !request.url().startsWith(server.url)) faults.push(request.url())
    })
    await page.goto(url, { waitUntil: 'networkidle' })
    return { page, faults, [Symbol.asyncDispose]: () => context.close() }
  }

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

    await view.page.getByLabel('Channel').selectOption('playground')
    await view.page.getByLabel('Period').selectOption('7')
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
    expect(await view.page.evaluate("getComputedStyle(document.querySelector('.tile')).borderRadius")).toBe('12px')
    expect(view.faults).toEqual([])
  })
})
