import { EventEmitter, once } from 'node:events'
import { afterAll, describe, expect, test } from 'vitest'
import { type Database, openDatabase } from '../../src/db/client.js'
import { grantReader } from '../../src/db/reader-role.js'
import { createDashboardReads, readDashboard } from '../../src/report/dashboard-data.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { fillDashboard, fillResults, HOSTILE } from '../support/dashboard-example.js'
import { RATE_LIMIT, serveDashboard } from '../support/dashboard-server.js'
import { createReader } from '../support/reader.js'
import { openRelay } from '../support/relay.js'
import { createTestDatabase } from '../support/test-database.js'

const database = await createTestDatabase()
await fillDashboard(database)
const reads = createDashboardReads(database.db, RATE_LIMIT)
const dashboard = { account: 'default', accounts: () => ['default'], reads }
const server = await serveDashboard(dashboard)
const several = await serveDashboard({ ...dashboard, accounts: () => ['default', 'not yet begun'] })

/** A separate pool, closed at the end of the block. */
function pool(url: string, options: Parameters<typeof openDatabase>[1] = {}): { db: Database } & AsyncDisposable {
  const db = openDatabase(url, options)
  return { db, [Symbol.asyncDispose]: () => db.$disconnect() }
}

/** The page as text. */
async function pageOf(path: string, { url } = server): Promise<string> {
  const answer = await fetch(url + path)
  expect([path, answer.status]).toEqual([path, 200])
  return answer.text()
}

const numberIn = (page: string, name: string) => new RegExp(`data-number="${name}">([^<]*)<`).exec(page)?.[1]

describe('the page', () => {
  test('allows its own script and style only, no foreign source, and has no inline style', async () => {
    const answer = await fetch(`${server.url}/`)
    const page = await answer.text()

    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(answer.headers.get('content-security-policy')).toBe(
      [
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src 'self'; img-src 'self'",
        "script-src 'self'; connect-src 'self'",
      ].join('; '),
    )
    // Everything in quotes or between tags is text.
    const tags = page.replace(/"[^"]*"/g, '""').match(/<[^>]*>/g) ?? []
    expect(tags.filter((tag) => /^<(script|style|img|iframe)\b| (style|on\w+)=/i.test(tag))).toEqual([
      '<script src="" defer data-refresh="">',
    ])
    expect(page).toMatch(/^<!doctype html>\n<html lang="en">/)
    expect(page.match(/(?:src|href|action)="(?!\/(?!\/)|#)[^"]*"/g)).toBeNull()
  })

  test('shows a firing alert in its banner, which is amber then', async () => {
    await database.sql(`INSERT INTO spidra.alerts (account, kind, state, since, summary, details)
      VALUES ('default', 'stuck_jobs', 'firing', now(), '2 jobs are stuck <b>', '{}')`)
    const page = await pageOf('/?days=8')
    await database.sql("UPDATE spidra.alerts SET state = 'resolved'")

    expect(page).toMatch(
      /<section class="freshness warning".*Alert stuck_jobs since <time [^<]* UTC<\/time>: 2 jobs are stuck &lt;b&gt;/,
    )
    expect(await pageOf('/?days=9')).toContain('<section class="freshness good"')
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
      const answer = await fetch(`${several.url}/?account=${encodeURIComponent(account)}&days=7`)
      const page = await answer.text()

      expect(answer.status).toBe(404)
      expect(page).toMatch(/<h1>There is no account “[^<]+”<\/h1><p>Known: default, not yet begun\.</)
      expect(page).not.toMatch(/<script>|<form|<option|http-equiv="refresh"|\u202e/)
    },
  )

  test('exists for an account that is only configured, and for one that is only stored', async () => {
    await database.sql("INSERT INTO spidra.sync_state (account) VALUES ('left the file')")

    for (const account of ['not yet begun', 'left the file'])
      expect(numberIn(await pageOf(`/?account=${encodeURIComponent(account)}`, several), 'jobs')).toBe('0')

    await database.sql("DELETE FROM spidra.sync_state WHERE account = 'left the file'")
  })

  test('reloads by itself unless the URL says refresh=off', async () => {
    expect(await pageOf('/')).toMatch(
      /<noscript><meta http-equiv="refresh" content="30"><\/noscript><script [^>]*data-refresh="30"/,
    )
    expect(await pageOf('/?refresh=off')).not.toContain('http-equiv="refresh"')
    expect(await pageOf('/?refresh=off')).toContain('data-refresh="0"')
  })

  test('every link to SQL has its target, and every chart its table', async () => {
    const page = await pageOf('/')
    const targets = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)

    expect(targets.length).toBeGreaterThan(10)
    expect(targets.filter((id) => !page.includes(`id="${id}"`))).toEqual([])
    expect(page.match(/<figure>/g)).toHaveLength(5)
    expect(page.match(/<details><summary>Table: [^<]+<\/summary><div[^>]*><table>/g)).toHaveLength(5)
  })

  test('all SQL on it runs unchanged for a role that may read the views only', async () => {
    await using reader = await createReader(database)
    await grantReader(database.url, reader.name)
    const page = await pageOf(`/?channel=${encodeURIComponent(HOSTILE)}`)
    const texts = sqlIn(page)

    expect(texts).toHaveLength(11)
    for (const text of [...texts, ...sqlIn(await pageOf('/overview'))])
      await expect(reader.query(text.replace('\ufffd', '\u202e')), text).resolves.toBeDefined()
  })
})

describe('the results of batches', async () => {
  const own = await createTestDatabase()
  await fillDashboard(own)
  const withResults = await serveDashboard({ ...dashboard, reads: createDashboardReads(own.db, RATE_LIMIT) })

  afterAll(async () => {
    await withResults[Symbol.asyncDispose]()
    await own[Symbol.asyncDispose]()
  })

  test('are not on the pages while they are off', async () => {
    for (const path of ['/', '/overview'])
      expect(await pageOf(path, withResults)).not.toMatch(
        /Results due|Results:|Credits a day|Failing hosts|sql-credits/,
      )
  })

  test('are there with their empty states, once they are on and nothing has been read', async () => {
    await own.sql(`UPDATE spidra.sync_state SET results_mode = 'items', results_per_run = 50`)
    const page = await pageOf('/?days=9', withResults)

    expect(numberIn(page, 'results-due')).toMatch(/^1,\d{3}$/)
    expect(page).toContain('<p class="none">No credits in this period, as far as results have been read.</p>')
    expect(page).toContain('<p class="none">No URL failed in the last 30 days, as far as results have been read.</p>')
  })

  test('show what is due, what it cost, and which hosts fail; hostile ones as text', async () => {
    await fillResults(own)
    const page = await pageOf('/?days=10', withResults)
    const [row] = await own.sql<{ due: number }>('SELECT count(*)::integer AS due FROM spidra.results_due')

    expect(numberIn(page, 'results-due')).toBe(String(row?.due))
    expect(page).toMatch(
      /<p>Results: [\d,]+ of [\d,]+ ended batches read, \d+ due, done about (<time|\d{1,2} \w{3} \d\d:)/,
    )
    expect(page.match(/<figure>/g)).toHaveLength(6)
    expect(page).toContain('>slow.example.com</th>')
    expect(page).not.toContain('<img')
    expect(page).toContain('&lt;/td&gt;&lt;script&gt;alert')
    const targets = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)
    expect(targets.filter((id) => !page.includes(`id="${id}"`))).toEqual([])
  })

  test('all SQL runs for a role that may read the views only', async () => {
    await using reader = await createReader(own)
    await grantReader(own.url, reader.name)
    const texts = sqlIn(await pageOf('/?channel=api', withResults))

    expect(texts).toHaveLength(13)
    for (const text of texts) await expect(reader.query(text), text).resolves.toBeDefined()
  })

  test('the page of all accounts has a column for them, where an account keeps them', async () => {
    await own.sql(`INSERT INTO spidra.sync_state (account) VALUES ('off')`)
    const page = await pageOf('/overview', withResults)

    expect(page).toContain('<th scope="col">Results due</th>')
    expect(page.match(/data-heading="Results due"[^>]*>–</g)).toHaveLength(1)
  })
})

describe('the page of all accounts', () => {
  const rowOf = (page: string, account: string) =>
    new RegExp(`<tr><th[^>]*><a href="/\\?account=[^"]*">${account}<.*`).exec(page)?.[0].replace(/<[^>]*>/g, ' ')

  test('is at / if several accounts are configured, and always at /overview', async () => {
    for (const page of [await pageOf('/', several), await pageOf('/overview')]) {
      expect(page).toContain('<h2>Accounts ')
      expect(page).not.toContain('data-number')
    }
    expect(numberIn(await pageOf('/'), 'stored')).toMatch(/^1,\d{3}$/)
    expect(await pageOf('/?account=default', several)).toContain('<a href="/overview">All accounts</a>')
    expect(await pageOf('/')).not.toContain('All accounts')
  })

  test('has a row for each account, stored or only configured, those in trouble first', async () => {
    await database.sql(`
      INSERT INTO spidra.sync_state (account, last_complete_at, next_run_at) VALUES
        ('a <b>', now() - interval '14 seconds', now() + interval '286 seconds'), ('failing', NULL, now());
      INSERT INTO spidra.sync_runs (account, mode, trigger, status, error_code, worker, listed_total, stored_total)
      VALUES ('a <b>', 'incremental', 'schedule', 'complete', NULL, 'w', 7, 7),
        ('failing', 'full', 'schedule', 'failed', 'unauthorized', 'w', NULL, NULL);
      INSERT INTO spidra.alerts (account, kind, state, since, summary, details)
      VALUES ('failing', 'key_refused', 'firing', now(), 'refused', '{}')`)
    const page = await pageOf('/?refresh=off', several)
    await database.sql(`DELETE FROM spidra.sync_state WHERE account <> 'default';
      DELETE FROM spidra.sync_runs WHERE account <> 'default'; DELETE FROM spidra.alerts WHERE account = 'failing'`)

    expect(page).toMatch(
      /<section class="freshness bad".*<h1>2 of 4 accounts need attention<.*Alerts fire for 1 account\./,
    )
    expect(rowOf(page, 'failing')).toMatch(
      /failing +not complete yet +0 \/ \? +0 +0 +0 +key_refused +failed +unauthorized, +started 0 s ago/,
    )
    expect(rowOf(page, 'a &lt;b&gt;')).toMatch(/fresh +complete 14\ss ago +7 \/ 7 +0 +0 +0 +0 +complete/)
    expect(rowOf(page, 'default')).toMatch(/fresh +complete .* ago +1,800 \/ 1,800 +10 +2 +2 /)
    expect(rowOf(page, 'not yet begun')).toMatch(/no run yet/)
    const order = [...page.matchAll(/<th scope="row"[^>]*><a href="[^"]*">([^<]*)</g)].map(([, name]) => name)
    expect(order).toEqual(['failing', 'not yet begun', 'a &lt;b&gt;', 'default'])
    expect(await pageOf('/overview')).toContain('<h1>1 account, all complete and fresh</h1>')
  })
})

test('the page of all accounts shows the progress of a first load', async () => {
  await using loading = await createTestDatabase()
  await loading.sql(`
    INSERT INTO spidra.sync_state (account, rate_limit) VALUES ('default', 300);
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, worker, started_at, requests, latest_total, waits_until)
    VALUES ('default', 'full', 'startup', 'running', 'host:1', now() - interval '1 minute', 150, 12, now() + interval '1 hour');
    INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, created_at)
    SELECT gen_random_uuid(), 'completed', 1, 1, 0, now() FROM generate_series(1, 3)`)
  await using served = await serveDashboard({ ...dashboard, reads: createDashboardReads(loading.db, RATE_LIMIT) })

  expect(await pageOf('/overview', served)).toMatch(
    /not complete yet: 3 of 12 jobs \(25 %\), waiting for the request budget until [^<]*, done about [^<]* UTC</,
  )
})

describe('the page of jobs', () => {
  const uuidsIn = (page: string) => [...page.matchAll(/<th scope="row"><code>([^<]+)</g)].map(([, uuid = '']) => uuid)
  const linkIn = (page: string, text: string) =>
    decode(new RegExp(`<a href="([^"]*)">${text}</a>`).exec(page)?.[1] ?? '')

  test('shows the newest jobs first, and leads page by page through all of them and back', async () => {
    const rows = await database.sql<{ uuid: string }>(
      'SELECT uuid FROM spidra_reporting.batch_jobs ORDER BY created_at DESC, uuid LIMIT 120',
    )
    const first = await pageOf('/jobs')
    const second = await pageOf(linkIn(first, 'Older'))
    const third = await pageOf(linkIn(second, 'Older'))

    const shown = [...uuidsIn(first), ...uuidsIn(second), ...uuidsIn(third)]
    expect(shown.slice(0, 120)).toEqual(rows.map(({ uuid }) => uuid))
    expect(uuidsIn(await pageOf(linkIn(third, 'Newer')))).toEqual(uuidsIn(second))
    expect(uuidsIn(await pageOf(linkIn(third, 'Newest')))).toEqual(uuidsIn(first))
    expect(first).not.toMatch(/>Newer</)
  })

  test('finds a job by its uuid or the beginning of it, with and without dashes, and by status', async () => {
    const [job] = await database.sql<{ uuid: string }>('SELECT uuid FROM spidra_reporting.open_batch_jobs LIMIT 1')
    const uuid = job?.uuid ?? ''
    const found = async (query: string) => uuidsIn(await pageOf(`/jobs?${query}`))

    for (const text of [uuid, uuid.toUpperCase(), uuid.replaceAll('-', ''), uuid.slice(0, 10)])
      expect(await found(`uuid=${text}`)).toEqual([uuid])
    expect(await found(`uuid=${uuid}&status=completed`)).toEqual([])
    expect(await found('status=pending')).toHaveLength(2)
    expect((await found('uuid=0')).every((other) => other.startsWith('0'))).toBe(true)
  })

  test('says why nothing is found, and takes no harm from hostile text', async () => {
    const hostile = encodeURIComponent(HOSTILE)

    expect(await pageOf('/jobs?uuid=xyz')).toContain('“xyz” is neither a UUID nor the beginning of one.')
    expect(await pageOf('/jobs?uuid=00000000-0000')).toContain(
      'No jobs match. A job that the API no longer lists is in',
    )
    const page = await pageOf(`/jobs?uuid=${hostile}&status=${hostile}&before=${hostile}&account=${hostile}`)
    expect(page).not.toMatch(/<script>|<img/)
  })

  test('shows SQL that a role that may read the views can run', async () => {
    await using reader = await createReader(database)
    await grantReader(database.url, reader.name)
    const found = await pageOf('/jobs?uuid=1&status=completed')
    const second = await pageOf(linkIn(await pageOf('/jobs'), 'Older'))

    for (const text of [found, second].flatMap(sqlIn))
      await expect(reader.query(text), text).resolves.not.toHaveLength(0)
  })
})

describe('the routes', () => {
  test('the stylesheet and the icon are served', async () => {
    const css = await fetch(`${server.url}/dashboard.css`)
    const icon = await fetch(`${server.url}/favicon.svg`)

    expect([css.status, css.headers.get('content-type')]).toEqual([200, 'text/css; charset=utf-8'])
    expect([icon.status, icon.headers.get('content-type')]).toEqual([200, 'image/svg+xml'])
  })

  test('need the password, but for the style, the script and the icon, which the page of a refusal loads too', async () => {
    await using closed = await serveDashboard(dashboard, { dashboardPassword: 'canary' })

    for (const path of ['/', '/overview', '/jobs']) {
      const answer = await fetch(closed.url + path)
      expect([path, answer.status, answer.headers.get('content-type')]).toEqual([path, 401, 'text/html; charset=utf-8'])
    }
    for (const path of ['/dashboard.css', '/dashboard.js', '/favicon.svg'])
      expect([path, (await fetch(closed.url + path)).status]).toEqual([path, 200])
  })

  /** The page that is served when `db` is read, and the log lines. */
  async function absenceOn(db: Database, path = '/', options: Parameters<typeof readDashboard>[2] = {}) {
    await using served = await serveDashboard({
      ...dashboard,
      reads: { ...reads, account: (filters) => readDashboard(db, filters, options) },
    })
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
    await using faulty = await serveDashboard({
      ...dashboard,
      reads: { ...reads, account: () => Promise.reject(new TypeError('canary')) },
    })

    const answer = await fetch(faulty.url)
    const page = await answer.text()

    expect(answer.status).toBe(500)
    expect(page).toContain('<h1>This page could not be built</h1>')
    expect(page).not.toMatch(/canary|does not answer/)
    expect(faulty.logged.join()).toMatch(/"level":"error".*canary/)
  })

  test('a page behind too many waiting ones is refused with that reason', async () => {
    const done = new EventEmitter()
    const over = once(done, 'over')
    await using crowded = await serveDashboard({
      ...dashboard,
      reads: {
        ...reads,
        async account() {
          await over
          throw new Error('the test is over')
        },
      },
    })

    const answers = Array.from({ length: 21 }, (_, days) => fetch(`${crowded.url}/?days=${days + 1}`))
    const [refused] = await Promise.all([
      Promise.any(answers.map((answer) => answer.then((a) => (a.status === 503 ? a.text() : Promise.reject(a))))),
    ])
    done.emit('over')
    await Promise.all(answers)

    expect(refused).toContain('<h1>Too many different pages are requested at once</h1>')
  })

  test('thirty readers at once cause one read', async () => {
    let count = 0
    await using wall = await serveDashboard({
      ...dashboard,
      reads: {
        ...reads,
        account(filters) {
          count += 1
          return reads.account(filters)
        },
      },
    })

    const pages = await Promise.all(Array.from({ length: 30 }, () => fetch(wall.url).then((answer) => answer.text())))

    expect(new Set(pages).size).toBe(1)
    expect(count).toBe(1)
  })
})

/** The queries that a page shows. */
function sqlIn(page: string): string[] {
  return [...page.matchAll(/<pre[^>]*><code>([^<]+)<\/code>/g)].map(([, text = '']) => decode(text))
}

function decode(text: string): string {
  const entities: Record<string, string> = { lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' }
  return text.replace(/&([^;]+);/g, (all, name) => entities[name] ?? all)
}
