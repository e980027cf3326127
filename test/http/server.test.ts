import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/config/errors.js'
import { createMetrics } from '../../src/http/metrics.js'
import { type HttpServerOptions, startHttpServer } from '../../src/http/server.js'
import { createLogger } from '../../src/logging/logger.js'
import type { StatusDocument } from '../../src/report/status.js'
import { decideFreshness } from '../../src/service/readiness.js'

const STATUS: StatusDocument = { version: 1, accounts: [], fleet: null }

interface Changes extends Partial<Omit<HttpServerOptions, 'config'>> {
  readonly config?: Partial<HttpServerOptions['config']>
}

/** A server on a free port, which is asked over a real connection; `logged` are its log lines after those of the start. */
async function serving(changes: Changes = {}) {
  const logged: string[] = []
  const destination = { write: (line: string) => logged.push(line) }
  const server = await startHttpServer({
    log: await createLogger({ level: 'info', format: 'json', secrets: [], destination }),
    metrics: createMetrics({ version: '1.2.3', accounts: ['default'] }),
    readiness: async () => ({ database: { ok: true, detail: 'answers' } }),
    status: async () => STATUS,
    ...changes,
    config: { host: '127.0.0.1', port: 0, dashboardPassword: null, ...changes.config },
  })
  if (server === null) throw new Error('The server was to start')
  const started = logged.splice(0).map((line) => JSON.parse(line))
  const port = Number(new URL(server.url).port)
  const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    get({ port, path, headers, method })
  return { ask, port, logged, started, [Symbol.asyncDispose]: () => server.close() }
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

/** Sends a request without `fetch`, which does not let a caller choose the Host header. */
function get(options: {
  port: number
  path: string
  headers: Record<string, string>
  method: string
}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', agent: false, ...options }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() })
      })
    })
    sent.on('error', reject)
    sent.end()
  })
}

describe('probes', () => {
  test('/healthz answers that the process is alive', async () => {
    await using server = await serving()

    expect(await server.ask('/healthz')).toMatchObject({ status: 200, body: '{"status":"ok"}' })
  })

  test('/readyz answers 200 with the checks by name', async () => {
    await using server = await serving()

    const { status, body } = await server.ask('/readyz')

    expect(status).toBe(200)
    expect(JSON.parse(body)).toEqual({ status: 'ready', checks: { database: { ok: true, detail: 'answers' } } })
  })

  test('/readyz answers 503 when one check fails', async () => {
    const checks = { database: { ok: true, detail: 'answers' }, freshness: { ok: false, detail: '20 min old' } }
    await using server = await serving({ readiness: async () => checks })

    const { status, body } = await server.ask('/readyz')

    expect(status).toBe(503)
    expect(JSON.parse(body)).toEqual({ status: 'not_ready', checks })
  })

  test('/readyz answers within 2 s while the database hangs, and /healthz at once', async () => {
    await using server = await serving({ readiness: () => new Promise(() => {}) })

    const slow = server.ask('/readyz')
    expect((await server.ask('/healthz')).status).toBe(200)
    expect(await slow).toMatchObject({ status: 503, body: expect.stringContaining('no answer within 2000 ms') })
  })

  test('/readyz answers 503 when the check throws, at once or later, and shows nothing of the error', async () => {
    const checks: HttpServerOptions['readiness'][] = [
      () => Promise.reject(new Error('canary')),
      () => {
        throw new Error('canary')
      },
    ]
    for (const readiness of checks) {
      await using server = await serving({ readiness })

      const { status, body } = await server.ask('/readyz')

      expect(status).toBe(503)
      expect(JSON.parse(body).checks).toEqual({ readiness: { ok: false, detail: 'the check itself failed' } })
    }
  })

  test('/readyz answers 503 once the last verdict is older than three intervals, and than 15 minutes', async () => {
    const now = new Date('2026-03-01T12:00:00Z')
    const statusAfter = async (minutes: number, intervalMinutes: number) => {
      const lastCompleteAt = new Date(now.getTime() - minutes * 60_000)
      const facts = { lastCompleteAt, failingSince: null, running: null, hasStalled: false }
      const freshness = decideFreshness(facts, { intervalMs: intervalMinutes * 60_000 }, now)
      await using server = await serving({ readiness: async () => ({ freshness }) })
      return (await server.ask('/readyz')).status
    }

    expect([await statusAfter(30, 10), await statusAfter(31, 10)]).toEqual([200, 503])
    expect([await statusAfter(15, 1), await statusAfter(16, 1)]).toEqual([200, 503])
  })

  test('/metrics is in the text format of Prometheus', async () => {
    await using server = await serving()

    const { status, headers, body } = await server.ask('/metrics')

    expect(status).toBe(200)
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(body).toContain('\nspidra_sync_run_in_progress{account="default"} 0\n')
  })
})

describe('/api/status', () => {
  test('is the document as JSON', async () => {
    await using server = await serving()

    const { status, body } = await server.ask('/api/status')

    expect(status).toBe(200)
    expect(JSON.parse(body)).toEqual(STATUS)
  })

  test('answers 503 when the database does not answer, and writes the error to the log only', async () => {
    await using server = await serving({ status: () => Promise.reject(new Error('canary at 10.0.0.5')) })

    const { status, body } = await server.ask('/api/status')

    expect(status).toBe(503)
    expect(body).not.toContain('canary')
    expect(server.logged.join()).toContain('canary')
  })
})

describe('access', () => {
  const PROTECTED = ['/api/status', '/', '/no-such-page', '/healthz/../api/status', '//api/status']
  const PUBLIC = ['/healthz', '/readyz', '/metrics']

  test('without a password on a public address, only probes and metrics are served', async () => {
    await using server = await serving({ config: { host: '0.0.0.0' } })

    for (const path of PROTECTED) {
      const { status, body } = await server.ask(path)
      expect([path, status, body]).toEqual([path, 403, expect.stringContaining('DASHBOARD_PASSWORD')])
    }
    for (const path of PUBLIC) expect([path, (await server.ask(path)).status]).toEqual([path, 200])
  })

  const refuse = () => Promise.reject(new Error('nobody may read'))
  const DASHBOARD: NonNullable<HttpServerOptions['dashboard']> = {
    account: 'default',
    accounts: () => ['default'],
    reads: { account: refuse, overview: refuse, jobs: refuse },
  }

  test('without a password on a public address, `/` is a page that says what to set, and the start warns once', async () => {
    await using server = await serving({ config: { host: '0.0.0.0' }, dashboard: DASHBOARD })

    const { status, headers, body } = await server.ask('/', { accept: 'text/html' })

    expect([status, headers['content-type']]).toEqual([403, 'text/html; charset=utf-8'])
    expect(body).toMatch(/<h1>The dashboard is closed<\/h1><p>[^<]+ Set the variable DASHBOARD_PASSWORD /)
    expect((await server.ask('/dashboard.css')).status).toBe(200)
    expect(server.started).toMatchObject([
      { level: 'info', msg: 'http server listens', address: `0.0.0.0:${server.port}` },
      {
        level: 'warn',
        msg: 'the dashboard is closed: set DASHBOARD_PASSWORD, because other machines can reach this address',
      },
    ])
  })

  test.each([
    { config: { host: '0.0.0.0', dashboardPassword: 'canary' }, dashboard: DASHBOARD },
    { config: { host: '127.0.0.1' }, dashboard: DASHBOARD },
    { config: { host: '0.0.0.0' } },
  ])('the start does not warn where nothing is closed: %j', async (changes) => {
    await using server = await serving(changes)

    expect(server.started).toEqual([expect.objectContaining({ msg: 'http server listens' })])
  })

  test('a browser without the password gets a page, and is told to ask for the password', async () => {
    await using server = await serving({ config: { dashboardPassword: 'canary' }, dashboard: DASHBOARD })

    const { status, headers, body } = await server.ask('/')

    expect([status, headers['www-authenticate']]).toEqual([401, expect.stringMatching(/^Basic realm=/)])
    expect(body).toContain('<h1>This page needs a password</h1>')
  })

  test('with a password, every other route needs it, and a browser is told to ask for it', async () => {
    await using server = await serving({ config: { host: '0.0.0.0', dashboardPassword: 'canary' } })
    const authorization = `Basic ${Buffer.from('any:canary').toString('base64')}`

    for (const path of PROTECTED) {
      const { status, headers } = await server.ask(path)
      expect([path, status, headers['www-authenticate']]).toEqual([path, 401, expect.stringMatching(/^Basic realm=/)])
    }
    for (const path of PUBLIC) expect([path, (await server.ask(path)).status]).toEqual([path, 200])
    expect((await server.ask('/api/status', { authorization })).status).toBe(200)
    expect((await server.ask('/no-such-page', { authorization })).status).toBe(404)
  })

  test('/metrics shows names of accounts only to those who may see the dashboard', async () => {
    const named = '\nspidra_sync_run_in_progress{account="default"} 0\n'
    const nameless = '\nspidra_sync_run_in_progress 0\n'
    const basic = (password: string) => ({
      authorization: `Basic ${Buffer.from(`any:${password}`).toString('base64')}`,
    })
    await using local = await serving()
    await using open = await serving({ config: { host: '0.0.0.0' } })
    await using guarded = await serving({ config: { host: '0.0.0.0', dashboardPassword: 'canary' } })

    expect((await local.ask('/metrics')).body).toContain(named)
    expect((await local.ask('/metrics', { host: 'rebound.test' })).body).toContain(nameless)
    expect((await open.ask('/metrics')).body).toContain(nameless)
    expect((await guarded.ask('/metrics')).body).toContain(nameless)
    expect((await guarded.ask('/metrics', basic('canary'))).body).toContain(named)
    expect((await guarded.ask('/metrics', basic('guess'))).status).toBe(401)
    for (const { body } of [await open.ask('/metrics'), await guarded.ask('/metrics')]) {
      expect(body).not.toContain('account=')
    }
  })

  test('after ten wrong passwords a client gets 429 with Retry-After, and still the probes; the log has one line', async () => {
    await using server = await serving({ config: { dashboardPassword: 'canary' } })
    const withPassword = (password: string) =>
      server.ask('/api/status', { authorization: `Basic ${Buffer.from(`any:${password}`).toString('base64')}` })

    for (let guess = 0; guess < 10; guess += 1) expect((await withPassword(`guess-${guess}`)).status).toBe(401)
    const { status, headers, body } = await withPassword('canary')

    expect([status, JSON.parse(body).error]).toEqual([429, 'too_many_requests'])
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(300)
    expect((await server.ask('/healthz')).status).toBe(200)
    expect(server.logged.map((line) => JSON.parse(line))).toMatchObject([{ level: 'warn', address: '127.0.0.1' }])
    expect(server.logged.join()).not.toMatch(/canary|guess-/)
  })

  test('on loopback without a password, a foreign Host header gets the probes only', async () => {
    await using server = await serving()

    expect((await server.ask('/api/status', { host: 'rebound.test' })).status).toBe(403)
    expect((await server.ask('/api/status', { host: `localhost:${server.port}` })).status).toBe(200)
    expect((await server.ask('/readyz', { host: '10.1.2.3:8080' })).status).toBe(200)
  })

  test('X-Forwarded-Host does not replace the Host header', async () => {
    await using server = await serving()

    const headers = { host: 'rebound.test', 'x-forwarded-host': 'localhost' }
    expect((await server.ask('/api/status', headers)).status).toBe(403)
  })
})

describe('every answer', () => {
  test('has the security headers, refusals and errors included', async () => {
    await using server = await serving({ status: () => Promise.reject(new Error('no')) })

    for (const path of ['/healthz', '/api/status', '/no-such-page', '/%zz']) {
      expect((await server.ask(path)).headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
        'content-security-policy': expect.stringContaining("default-src 'none'"),
      })
    }
  })

  test('to a path that cannot be decoded is a 400 that does not quote it', async () => {
    await using server = await serving({ config: { dashboardPassword: 'canary' } })

    const { status, body } = await server.ask('/%zz<script>')

    expect(status).toBe(400)
    expect(JSON.parse(body)).toEqual({ error: 'bad_request', message: 'The request cannot be understood.' })
  })

  test('to an unexpected error is a 500 without its message, which is logged', async () => {
    const metrics = { contentType: 'text/plain', read: () => Promise.reject(new Error('canary')) }
    await using server = await serving({ metrics })

    const { status, body } = await server.ask('/metrics')

    expect(status).toBe(500)
    expect(JSON.parse(body).error).toBe('internal_error')
    expect(body).not.toContain('canary')
    expect(server.logged.join()).toContain('canary')
  })

  test('to another method is 404', async () => {
    await using server = await serving()

    expect((await server.ask('/healthz', {}, 'DELETE')).status).toBe(404)
  })

  test('writes no log line at level info', async () => {
    await using server = await serving()

    await server.ask('/healthz')
    await server.ask('/no-such-page')

    expect(server.logged).toEqual([])
  })
})

describe('the address', () => {
  test('in use is a ConfigError that names HTTP_PORT', async () => {
    await using first = await serving()

    const second = serving({ config: { port: first.port } })

    await expect(second).rejects.toBeInstanceOf(ConfigError)
    await expect(second).rejects.toThrow(/^HTTP_PORT \d+ on 127\.0\.0\.1 is in use/)
  })

  test('of another machine is a ConfigError that names HTTP_HOST', async () => {
    await expect(serving({ config: { host: '192.0.2.1' } })).rejects.toThrow(/^HTTP_HOST is not an address/)
  })

  test('off means no server', async () => {
    const unused = () => Promise.reject(new Error('nobody asks'))
    const log = await createLogger({ level: 'silent', format: 'json', secrets: [], destination: { write: unused } })
    const metrics = { contentType: '', read: unused }
    const config = { host: '127.0.0.1', port: null, dashboardPassword: null }

    await expect(startHttpServer({ config, log, metrics, readiness: unused, status: unused })).resolves.toBeNull()
  })

  test('is free again after close, even if a client keeps its connection', async () => {
    const first = await serving()
    await fetch(`http://127.0.0.1:${first.port}/healthz`)
    await first[Symbol.asyncDispose]()

    await using again = await serving({ config: { port: first.port } })
    expect((await again.ask('/healthz')).status).toBe(200)
  })
})

describe('connections that send nothing', () => {
  test('are closed above the limit, and after a while below it, so that others are served again', async () => {
    await using server = await serving({ limits: { maxConnections: 3, idleMs: 500 } })
    const sockets = Array.from({ length: 10 }, () =>
      connect(server.port, '127.0.0.1')
        .on('error', () => {})
        .resume(),
    )
    const openedAt = performance.now()
    const lasted = await Promise.all(
      sockets.map(async (socket) => {
        await once(socket, 'close')
        return performance.now() - openedAt
      }),
    )

    expect(lasted.filter((ms) => ms > 450)).toHaveLength(3)
    expect((await server.ask('/healthz')).status).toBe(200)
  })
})
