import { EventEmitter, once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { type Database, openDatabase } from '../../src/db/client.js'
import { readDashboard } from '../../src/report/dashboard-data.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { fillDashboard, HOSTILE } from '../support/dashboard-example.js'
import { serveDashboard } from '../support/dashboard-server.js'
import { openRelay } from '../support/relay.js'
import { createTestDatabase } from '../support/test-database.js'

const database = await createTestDatabase()
await fillDashboard(database)
const dashboard = {
  account: 'default',
  accounts: () => ['default', 'not yet begun'],
  read: (filters: Parameters<typeof readDashboard>[1]) => readDashboard(database.db, filters),
}
const server = await serveDashboard(dashboard)

/** A separate pool, closed at the end of the block. */
function pool(url: string, options: Parameters<typeof openDatabase>[1] = {}): { db: Database } & AsyncDisposable {
  const db = openDatabase(url, options)
  return { db, [Symbol.asyncDispose]: () => db.$disconnect() }
}

/** The page as text. */
async function pageOf(path: string): Promise<string> {
  const answer = await fetch(server.url + path)
  expect([path, answer.status]).toEqual([path, 200])
  return answer.text()
}

const numberIn = (page: string, name: string) => new RegExp(`data-number="${name}">([^<]*)<`).exec(page)?.[1]

describe('the page', () => {
  test('allows no script and no foreign source, and has no inline style', async () => {
    const answer = await fetch(`${server.url}/`)
    const page = await answer.text()

    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(answer.headers.get('content-security-policy')).toBe(
      "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src 'self'; img-src 'self'",
    )
    // Everything in quotes or between tags is text.
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

  test('takes filters from the URL, hostile ones too, and ignores invalid ones', async () => {
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
    'of the unknown account %j is a 404 that lists the known ones',
    async (account) => {
      const answer = await fetch(`${server.url}/?account=${encodeURIComponent(account)}&days=7`)
      const page = await answer.text()

      expect(answer.status).toBe(404)
      expect(page).toMatch(/<h1>There is no account “[^<]+”<\/h1><p>Known: default, not yet begun\.</)
      expect(page).not.toMatch(/<script|<form|<option|http-equiv="refresh"|\u202e/)
    },
  )

  test('exists for an account that is only configured, and for one that is only stored', async () => {
    await database.sql("INSERT INTO spidra.sync_state (account) VALUES ('left the file')")

    for (const account of ['not yet begun', 'left the file'])
      expect(numberIn(await pageOf(`/?account=${encodeURIComponent(account)}`), 'jobs')).toBe('0')

    await database.sql("DELETE FROM spidra.sync_state WHERE account = 'left the file'")
  })

  test('reloads by itself unless the URL says refresh=off', async () => {
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

  test('all SQL on it runs unchanged in a read-only transaction', async () => {
    const page = await pageOf(`/?channel=${encodeURIComponent(HOSTILE)}`)
    const texts = [...page.matchAll(/<pre tabindex="0"><code>([^<]+)<\/code>/g)].map(([, text = '']) => decode(text))

    expect(texts).toHaveLength(9)
    for (const text of texts) await database.sql(`BEGIN READ ONLY; ${text.replace('\ufffd', '\u202e')} COMMIT`)
  })
})

describe('the routes', () => {
  test('the stylesheet and the icon are served', async () => {
    const css = await fetch(`${server.url}/dashboard.css`)
    const icon = await fetch(`${server.url}/favicon.svg`)

    expect([css.status, css.headers.get('content-type')]).toEqual([200, 'text/css; charset=utf-8'])
    expect([icon.status, icon.headers.get('content-type')]).toEqual([200, 'image/svg+xml'])
  })

  test('need the password, but for the stylesheet and the icon, which the page of a refusal loads too', async () => {
    await using closed = await serveDashboard(dashboard, { dashboardPassword: 'canary' })

    const statuses = ['/', '/dashboard.css', '/favicon.svg'].map(
      async (path) => (await fetch(closed.url + path)).status,
    )
    expect(await Promise.all(statuses)).toEqual([401, 200, 200])
  })

  /** The page that is served when `db` is read, and the log lines. */
  async function absenceOn(db: Database, path = '/', options: Parameters<typeof readDashboard>[2] = {}) {
    await using served = await serveDashboard({ ...dashboard, read: (filters) => readDashboard(db, filters, options) })
    const answer = await fetch(served.url + path)
    const page = await answer.text()
    return { status: answer.status, title: /<h1>([^<]*)</.exec(page)?.[1], page, logged: served.logged.join() }
  }

  test('with an unreachable database the page is a 503 that says so and reloads; only the log has the error', async () => {
    await using relay = await openRelay(database.url)
    await using away = pool(relay.url)
    await relay.cut()

    const { status, title, page, logged } = await absenceOn(away.db)

    expect([status, title]).toEqual([503, 'The database does not answer'])
    expect(page).toMatch(/http-equiv="refresh".*This page reloads by itself\./s)
    expect(page).not.toContain('127.0.0.1')
    expect(logged).toMatch(/"level":"warn".*"msg":"dashboard data could not be read"/)
  })

  test('a page that does not reload does not announce a reload', async () => {
    await using relay = await openRelay(database.url)
    await using away = pool(relay.url)
    await relay.cut()

    expect((await absenceOn(away.db, '/?refresh=off')).page).not.toMatch(/reloads|http-equiv="refresh"/)
  })

  test('with all connections in use the page says that, and not that the database does not answer', async () => {
    await using busy = pool(database.url, { connectTimeoutMs: 2_000 })
    await using lock = await hold(database, 'LOCK TABLE spidra.alerts IN ACCESS EXCLUSIVE MODE')
    const waiting = Promise.all([1, 2, 3, 4].map(() => busy.db.alert.count().then((count) => count)))
    await untilBlocked(database, 4)

    const { status, title, page } = await absenceOn(busy.db)
    await lock.release()
    await waiting

    expect([status, title]).toEqual([503, 'No connection to the database is free'])
    expect(page).not.toContain('does not answer')
  })

  test('with a query over the time limit the page says that', async () => {
    await using slow = pool(database.url)
    await using _lock = await hold(database, 'LOCK TABLE spidra.sync_state IN ACCESS EXCLUSIVE MODE')

    expect(await absenceOn(slow.db, '/', { timeoutMs: 200 })).toMatchObject({
      ...{ status: 503, title: 'The database took too long' },
    })
  })

  test('with a query that the database refuses the page names the error code', async () => {
    await using other = await createTestDatabase()
    await other.sql('DROP SCHEMA spidra_reporting CASCADE')

    const { status, title, page } = await absenceOn(other.db)

    expect([status, title]).toEqual([503, 'The database refuses a query of this page'])
    expect(page).toContain('(not_migrated)')
    expect(page).not.toContain('sync_freshness')
  })

  test('with an error of our own the page is a 500 that does not blame the database, and the log has the error', async () => {
    await using faulty = await serveDashboard({ ...dashboard, read: () => Promise.reject(new TypeError('canary')) })

    const answer = await fetch(faulty.url)
    const page = await answer.text()

    expect(answer.status).toBe(500)
    expect(page).toContain('<h1>This page could not be built</h1>')
    expect(page).not.toMatch(/canary|does not answer/)
    expect(faulty.logged.join()).toMatch(/"level":"error".*canary/)
  })

  test('a page behind too many waiting ones is refused with that reason', async () => {
    const done = new EventEmitter()
    let started = 0
    await using crowded = await serveDashboard({
      ...dashboard,
      async read(filters) {
        started += 1
        if (started === 1) await once(done, 'go')
        return dashboard.read(filters)
      },
    })

    const answers = Array.from({ length: 21 }, (_, days) => fetch(`${crowded.url}/?days=${days + 1}`))
    const [refused] = await Promise.all([
      Promise.any(answers.map((answer) => answer.then((a) => (a.status === 503 ? a.text() : Promise.reject(a))))),
    ])
    done.emit('go')
    await Promise.all(answers)

    expect(refused).toContain('<h1>Too many different pages are requested at once</h1>')
  })

  test('thirty readers at once cause one read', async () => {
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
