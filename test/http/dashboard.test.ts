import { describe, expect, test } from 'vitest'
import { readDashboard } from '../../src/report/dashboard-data.js'
import { fillDashboard, HOSTILE } from '../support/dashboard-example.js'
import { serveDashboard } from '../support/dashboard-server.js'
import { createTestDatabase } from '../support/test-database.js'

const database = await createTestDatabase()
await fillDashboard(database)
const dashboard = {
  account: 'default',
  accounts: () => ['default', 'not yet begun'],
  read: (filters: Parameters<typeof readDashboard>[1]) => readDashboard(database.db, filters),
}
const server = await serveDashboard(dashboard)

/** The page as text. */
async function pageOf(path: string): Promise<string> {
  const answer = await fetch(server.url + path)
  expect([path, answer.status]).toEqual([path, 200])
  return answer.text()
}

const numberIn = (page: string, name: string) => new RegExp(`data-number="${name}">([^<]*)<`).exec(page)?.[1]

describe('the page', () => {
  test('allows no script and no foreign source, and has no style of its own', async () => {
    const answer = await fetch(`${server.url}/`)
    const page = await answer.text()

    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(answer.headers.get('content-security-policy')).toBe(
      "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src 'self'; img-src 'self'",
    )
    // What stands in quotes or between tags is text, whatever it looks like.
    const tags = page.replace(/"[^"]*"/g, '""').match(/<[^>]*>/g) ?? []
    expect(tags.filter((tag) => /^<(script|style|img|iframe)\b| (style|on\w+)=/i.test(tag))).toEqual([])
    expect(page).toMatch(/^<!doctype html>\n<html lang="en">/)
    expect(page.match(/(?:src|href|action)="(?!\/(?!\/)|#)[^"]*"/g)).toBeNull()
  })

  test('shows hostile strings as text', async () => {
    const page = await pageOf('/')

    expect(page).not.toContain('<img')
    expect(page).not.toContain('\u202e')
    expect(page).toContain('&lt;/td&gt;&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;')
  })

  test('takes filters from the URL, hostile ones too, and leaves out what makes no sense', async () => {
    const hostile = encodeURIComponent(HOSTILE)
    const of = async (path: string) => numberIn(await pageOf(path), 'jobs')

    expect(await of(`/?channel=${hostile}`)).toBe('2')
    expect(await of('/?channel=(none)&days=400')).not.toBe('0')
    const usual = await of('/?refresh=off')
    for (const days of ['0', '-1', '1e9', 'x', '1.5', '', '7&days=zz'])
      expect([days, await of(`/?days=${days}`)]).toEqual([days, usual])
    expect(await of('/?account=%00&channel=a%00b')).toBe(usual)
  })

  test.each(['nope', "';DROP SCHEMA spidra;--", HOSTILE])(
    'of the account %j, which nobody knows, says with 404 so and which there are',
    async (account) => {
      const answer = await fetch(`${server.url}/?account=${encodeURIComponent(account)}&days=7`)
      const page = await answer.text()

      expect(answer.status).toBe(404)
      expect(page).toMatch(/<h1>There is no account “[^<]+”<\/h1><p>Known: default, not yet begun\.</)
      expect(page).not.toMatch(/<script|<form|<option|http-equiv="refresh"|\u202e/)
    },
  )

  test('of an account that is configured, and of one that is stored only, is there', async () => {
    await database.sql("INSERT INTO spidra.sync_state (account) VALUES ('left the file')")

    for (const account of ['not yet begun', 'left the file'])
      expect(numberIn(await pageOf(`/?account=${encodeURIComponent(account)}`), 'jobs')).toBe('0')

    await database.sql("DELETE FROM spidra.sync_state WHERE account = 'left the file'")
  })

  test('refreshes by itself until told not to', async () => {
    expect(await pageOf('/')).toContain('<meta http-equiv="refresh" content="30">')
    expect(await pageOf('/?refresh=off')).not.toContain('http-equiv="refresh"')
  })

  test('every link to SQL has its target, and every chart its table', async () => {
    const page = await pageOf('/')
    const targets = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)

    expect(targets.length).toBeGreaterThan(10)
    expect(targets.filter((id) => !page.includes(`id="${id}"`))).toEqual([])
    expect(page.match(/<figure>/g)).toHaveLength(5)
    expect(page.match(/<details><summary>Table: [^<]+<\/summary><div[^>]*><table>/g)).toHaveLength(5)
  })

  test('all SQL on it runs as it stands, in a transaction that may only read', async () => {
    const page = await pageOf(`/?channel=${encodeURIComponent(HOSTILE)}`)
    const texts = [...page.matchAll(/<pre tabindex="0"><code>([^<]+)<\/code>/g)].map(([, text = '']) => decode(text))

    expect(texts).toHaveLength(9)
    for (const text of texts) await database.sql(`BEGIN READ ONLY; ${text.replace('\ufffd', '\u202e')} COMMIT`)
  })
})

describe('the routes', () => {
  test('the stylesheet and the icon are ours', async () => {
    const css = await fetch(`${server.url}/dashboard.css`)
    const icon = await fetch(`${server.url}/favicon.svg`)

    expect([css.status, css.headers.get('content-type')]).toEqual([200, 'text/css; charset=utf-8'])
    expect([icon.status, icon.headers.get('content-type')]).toEqual([200, 'image/svg+xml'])
  })

  test('need the password like the rest', async () => {
    await using closed = await serveDashboard(dashboard, { dashboardPassword: 'canary' })

    for (const path of ['/', '/dashboard.css', '/favicon.svg'])
      expect([path, (await fetch(closed.url + path)).status]).toEqual([path, 401])
  })

  test('with the database away the page says so in words with 503, asks again, and keeps the error to the log', async () => {
    await using away = await serveDashboard({
      ...dashboard,
      read: () => Promise.reject(new Error('canary at 10.0.0.5')),
    })

    const answer = await fetch(`${away.url}/`)
    const page = await answer.text()

    expect(answer.status).toBe(503)
    expect(page).toContain('<h1>The database does not answer</h1>')
    expect(page).toContain('http-equiv="refresh"')
    expect(page).not.toContain('canary')
    expect(away.logged.join()).toContain('canary')
  })

  test('thirty readers at once cost one reading', async () => {
    let count = 0
    await using wall = await serveDashboard({
      ...dashboard,
      read(filters) {
        count += 1
        return dashboard.read(filters)
      },
    })

    const pages = await Promise.all(Array.from({ length: 30 }, () => fetch(wall.url).then((answer) => answer.text())))

    expect(new Set(pages).size).toBe(1)
    expect(count).toBe(1)
  })
})

function decode(text: string): string {
  const entities: Record<string, string> = { lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' }
  return text.replace(/&([^;]+);/g, (all, name) => entities[name] ?? all)
}
