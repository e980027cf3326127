import { readFile } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Config, loadConfig } from '../../src/config/config.js'
import { ConfigError } from '../../src/config/errors.js'
import { SYNC_SIZES, TIMING } from '../../src/config/scale.js'
import { secretsAmong } from '../../src/config/secrets.js'
import { variables } from '../../src/config/variables.js'

const NAMES = Object.keys(
  variables({ needsKey: true, production: true, allowHttp: false, isTerminal: false }).shape,
).sort()
const KEY = { SPIDRA_API_KEY: 'spd_0123456789' }

/** Variable to problem of what `loadConfig` refuses; empty when it refuses nothing. */
function problemsOf(env: Record<string, string>, needs: 'database' | 'sync' | 'service' = 'service') {
  try {
    loadConfig(env, { needs })
    return {}
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return Object.fromEntries(error.problems.map(({ variable, problem }) => [variable, problem]))
  }
}

describe('defaults', () => {
  test('with only a key, everything has the default of the contract', () => {
    expect(loadConfig(KEY, { needs: 'service' })).toEqual({
      spidra: {
        apiKey: 'spd_0123456789',
        keyOrigin: 'SPIDRA_API_KEY',
        apiUrl: 'https://api.spidra.io/api',
        authScheme: 'x-api-key',
        sourceAddress: null,
        requestTimeoutMs: 30_000,
        requestRetries: 5,
        retryBaseMs: 500,
      },
      accountsFile: null,
      databaseUrl: null,
      production: false,
      schedule: { sync: '*/5 * * * *', fullSync: '0 3 * * *', timezone: 'Etc/UTC', onStart: true },
      pagesPerRun: 20,
      results: null,
      resultsPerRun: 50,
      runsInParallel: 4,
      rateLimit: { requests: 300, windowSeconds: 900, reserve: 0.5 },
      historyDays: 400,
      stuckAfterHours: 6,
      alerts: { webhookUrl: null, afterFailures: 3, staleMinutes: 60 },
      http: { host: '127.0.0.1', port: 8080, dashboardPassword: null },
      proxy: { url: null, except: null },
      log: { level: 'info', format: 'json' },
      shutdownGraceMs: 10_000,
      timing: TIMING,
      sizes: SYNC_SIZES,
      warnings: [],
      redact: expect.any(Function),
    })
  })

  const defaults = () => ({ ...loadConfig(KEY, { needs: 'service' }), redact: expect.any(Function) })

  test('an empty variable counts as unset', () => {
    const empty = Object.fromEntries(NAMES.map((name) => [name, '']))

    expect(loadConfig({ ...empty, ...KEY }, { needs: 'service' })).toEqual(defaults())
  })

  test('.env.example shows these defaults', async () => {
    const shown = parseEnv((await readFile('.env.example', 'utf8')).replaceAll(/^#(?=[A-Z_]+=)/gm, ''))

    expect(loadConfig({ ...shown, ...KEY }, { needs: 'service' })).toEqual(defaults())
  })

  test('the log is pretty on a terminal, unless LOG_FORMAT says otherwise', () => {
    const formatOf = (env: Record<string, string>, isTerminal: boolean) =>
      loadConfig({ ...KEY, ...env }, { needs: 'sync', isTerminal }).log.format

    expect(formatOf({}, true)).toBe('pretty')
    expect(formatOf({}, false)).toBe('json')
    expect(formatOf({ LOG_FORMAT: 'json' }, true)).toBe('json')
    expect(formatOf({ LOG_FORMAT: 'pretty' }, false)).toBe('pretty')
  })

  test('the configuration cannot be changed, not even deep inside', () => {
    const config = loadConfig(KEY, { needs: 'service' })

    expect([config, config.http, config.schedule].every(Object.isFrozen)).toBe(true)
  })
})

describe('values', () => {
  test.each([
    ['HTTP_PORT', 'off', (config: Config<string | null>) => config.http.port, null],
    ['HTTP_PORT', '0', (config: Config<string | null>) => config.http.port, 0],
    ['RATE_LIMIT_REQUESTS', 'off', (config: Config<string | null>) => config.rateLimit.requests, null],
    ['RATE_LIMIT_RESERVE', '.25', (config: Config<string | null>) => config.rateLimit.reserve, 0.25],
    ['SYNC_SCHEDULE', 'off', (config: Config<string | null>) => config.schedule.sync, null],
    ['SYNC_SCHEDULE', '*/2 * * * * *', (config: Config<string | null>) => config.schedule.sync, '*/2 * * * * *'],
    ['FULL_SYNC_SCHEDULE', '0 3 * * MON', (config: Config<string | null>) => config.schedule.fullSync, '0 3 * * MON'],
    ['SYNC_ON_START', 'False', (config: Config<string | null>) => config.schedule.onStart, false],
    [
      'SCHEDULE_TIMEZONE',
      'Europe/Berlin',
      (config: Config<string | null>) => config.schedule.timezone,
      'Europe/Berlin',
    ],
    [
      'SPIDRA_API_URL',
      'https://x.test/api//',
      (config: Config<string | null>) => config.spidra.apiUrl,
      'https://x.test/api',
    ],
    [
      'SPIDRA_API_URL',
      'http://127.0.0.1:9/',
      (config: Config<string | null>) => config.spidra.apiUrl,
      'http://127.0.0.1:9',
    ],
    ['SPIDRA_API_URL', 'http://[::1]:9/a', (config: Config<string | null>) => config.spidra.apiUrl, 'http://[::1]:9/a'],
    ['https_proxy', 'http://p.test:3128', (config: Config<string | null>) => config.proxy.url, 'http://p.test:3128'],
    ['SOURCE_ADDRESS', '2001:db8::7', (config: Config<string | null>) => config.spidra.sourceAddress, '2001:db8::7'],
    [
      'DATABASE_URL',
      'postgresql:///db?host=/run',
      (config: Config<string | null>) => config.databaseUrl,
      'postgresql:///db?host=/run',
    ],
  ])('%s=%s is understood', (name, value, read, expected) => {
    expect(read(load({ [name]: value }))).toBe(expected)
  })

  test('http to another machine needs SPIDRA_API_ALLOW_HTTP=true', () => {
    const env = { ...KEY, SPIDRA_API_URL: 'http://gateway.test/api' }

    expect(problemsOf(env)).toHaveProperty('SPIDRA_API_URL')
    expect(problemsOf({ ...env, SPIDRA_API_ALLOW_HTTP: 'true' })).toEqual({})
  })

  function load(env: Record<string, string>) {
    return loadConfig({ ...KEY, ...env }, { needs: 'service' })
  }
})

describe('problems', () => {
  const BAD = {
    SPIDRA_API_KEY: 'spd key\r\nx-evil: 1',
    SPIDRA_API_URL: 'ftp://canary.test',
    SPIDRA_AUTH_SCHEME: 'canary',
    SPIDRA_API_ALLOW_HTTP: 'canary',
    SOURCE_ADDRESS: 'canary.test',
    DATABASE_URL: 'mysql://u:canary@h/d',
    SYNC_SCHEDULE: '61 * * * *',
    FULL_SYNC_SCHEDULE: '* * * *',
    SCHEDULE_TIMEZONE: 'Canary/Nowhere',
    SYNC_ON_START: 'canary',
    PAGES_PER_RUN: '0',
    RUNS_IN_PARALLEL: '65',
    REQUEST_TIMEOUT_MS: '-1',
    REQUEST_RETRIES: '0x10',
    RETRY_BASE_MS: ' 5',
    RATE_LIMIT_REQUESTS: 'canary',
    RATE_LIMIT_WINDOW_SECONDS: '1.5',
    RATE_LIMIT_RESERVE: '0.96',
    HISTORY_DAYS: 'Infinity',
    STUCK_AFTER_HOURS: 'NaN',
    ALERT_WEBHOOK_URL: 'hooks.canary.test',
    ALERT_AFTER_FAILURES: '0',
    ALERT_STALE_MINUTES: '9999999999',
    HTTP_HOST: 'http://canary',
    HTTP_PORT: '65536',
    LOG_LEVEL: 'canary',
    LOG_FORMAT: 'canary',
    SHUTDOWN_GRACE_MS: '1s',
    HTTPS_PROXY: 'canary',
  }

  test('every bad variable is reported at once', () => {
    expect(Object.keys(problemsOf(BAD)).sort()).toEqual(Object.keys(BAD).sort())
  })

  test('the message has one line for each, and no value', () => {
    expect(() => loadConfig(BAD, { needs: 'service' })).toThrow(
      expect.objectContaining({
        name: 'ConfigError',
        message: expect.not.stringMatching(/canary|evil|mysql/i),
      }),
    )
    const lines = Object.entries(problemsOf(BAD)).map(([variable, problem]) => `${variable} ${problem}`)
    expect(lines.every((line) => !line.includes('\n'))).toBe(true)
  })

  test('a number says its range', () => {
    expect(problemsOf({ ...KEY, PAGES_PER_RUN: '0', RATE_LIMIT_RESERVE: '1', HTTP_PORT: 'x' })).toEqual({
      PAGES_PER_RUN: 'must be a whole number from 1 to 1000000',
      RATE_LIMIT_RESERVE: 'must be a number from 0 to 0.95',
      HTTP_PORT: 'must be a whole number from 0 to 65535, or off',
    })
  })

  test('any text leads at most to a ConfigError, whose message does not show it', () => {
    const odd = fc.string({ minLength: 8, unit: 'binary' })
    fc.assert(
      fc.property(fc.constantFrom(...NAMES), odd, (name, value) => {
        expect(Object.values(problemsOf({ ...KEY, [name]: value })).join()).not.toContain(value)
      }),
    )
  })

  test.each([
    'http://127.0.0.1.evil.example/api',
    'http://localhost.evil.example/api',
    'http://evil.example/127.0.0.1',
    'http://evil.example#@localhost/',
    'http://localhost@evil.example/',
    'http://127.0.0.1:80@evil.example/',
    'http://0.0.0.0/api',
    'http://[::]/api',
    'http://[::ffff:10.0.0.5]/api',
    'http://10.0.0.5/api',
    'http://128.0.0.1/api',
    'http:evil.example/api',
    'http:\\\\evil.example/api',
    'HTTP://EVIL.EXAMPLE/api',
  ])('http is refused for %s, which is another machine', (url) => {
    expect(problemsOf({ ...KEY, SPIDRA_API_URL: url })).toHaveProperty('SPIDRA_API_URL')
  })

  test.each([
    ['http://127.1:4010/api', 'http://127.0.0.1:4010/api'],
    ['http://0x7f.1/api', 'http://127.0.0.1/api'],
    ['http://127.255.255.254/api', 'http://127.255.255.254/api'],
    ['http://LOCALHOST:4010/api', 'http://localhost:4010/api'],
    ['http://[::1]/api', 'http://[::1]/api'],
  ])('http is accepted for %s, which is this one, and read as the client will', (url, read) => {
    expect(loadConfig({ ...KEY, SPIDRA_API_URL: url }, { needs: 'sync' }).spidra.apiUrl).toBe(read)
  })

  test.each([
    ['credentials', 'https://user:pass@x.test/api'],
    ['a query', 'https://x.test/api?key=1'],
    ['no host', 'https://'],
    ['another scheme', 'file:///etc/passwd'],
  ])('an API URL with %s is refused', (_what, url) => {
    expect(problemsOf({ ...KEY, SPIDRA_API_URL: url })).toHaveProperty('SPIDRA_API_URL')
  })

  test.each(['postgres://u:p#ss@h/d', 'postgres://u:p/ss@h/d', 'postgres://u:p%ss@h/d'])(
    'a password that is not percent-encoded is refused with the remedy (%#)',
    (url) => {
      expect(problemsOf({ ...KEY, DATABASE_URL: url }).DATABASE_URL).toMatch(/percent-encoded/)
    },
  )

  test.each([
    'postgres://u:p@one:5432,two:5432/d',
    'postgres://one,two/d',
    'postgresql://u@[::1]:5432,two.test?sslmode=require',
    'postgres://u:p@/d?host=one,two',
  ])('several hosts in a database URL are refused, and not as a wrong password (%#)', (url) => {
    expect(problemsOf({ ...KEY, DATABASE_URL: url }).DATABASE_URL).toMatch(/^names several hosts, and one is supported/)
  })

  test.each(['sslrootcert', 'sslcert', 'sslkey'])('a file of %s that is missing is named with its path', (name) => {
    const url = `postgres://u:p@h/d?sslmode=verify-full&${name}=/no/such%20file.pem`

    expect(problemsOf({ ...KEY, DATABASE_URL: url }).DATABASE_URL).toBe(
      `has ${name}=/no/such file.pem, a file that cannot be read (ENOENT)`,
    )
  })

  test('a password with commas and a file that exists are accepted', () => {
    const url = 'postgres://u:p,q,r@h:5432/d?sslrootcert=package.json'

    expect(loadConfig({ ...KEY, DATABASE_URL: url }, { needs: 'sync' }).databaseUrl).toBe(url)
  })
})

describe('what is needed', () => {
  test('the key, unless only the database is needed', () => {
    expect(problemsOf({}, 'sync').SPIDRA_API_KEY).toMatch(/^is required/)
    expect(problemsOf({}, 'service').SPIDRA_API_KEY).toMatch(/^is required/)
    expect(loadConfig({}, { needs: 'database' }).spidra.apiKey).toBeNull()
  })

  test('the database URL, in production', () => {
    expect(problemsOf({ NODE_ENV: 'production' }, 'database')).toEqual({
      DATABASE_URL: expect.stringMatching(/^is required when NODE_ENV=production/),
    })
    expect(problemsOf({ NODE_ENV: 'development' }, 'database')).toEqual({})
  })

  test('a service that would never run is a problem, reported with the others', () => {
    const idle = { ...KEY, SYNC_SCHEDULE: 'off', FULL_SYNC_SCHEDULE: 'off', SYNC_ON_START: 'false' }

    expect(problemsOf({ ...idle, HTTP_PORT: 'x' })).toEqual({
      SYNC_SCHEDULE: expect.stringContaining('nothing would ever run'),
      HTTP_PORT: expect.any(String),
    })
    expect(problemsOf(idle, 'sync')).toEqual({})
    expect(problemsOf({ ...idle, SYNC_ON_START: 'true' })).toEqual({})
  })
})

describe('names', () => {
  test('an unknown name that looks like ours raises a warning and no error', () => {
    const env = { ...KEY, SYNC_SCHEDUEL: '* * * * *', SPIDRA_KEY: 'canary', PATH: '/bin', ALERTNESS: '1' }

    const { warnings } = loadConfig(env, { needs: 'service' })

    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toMatch(/^SYNC_SCHEDUEL is ignored.*SYNC_SCHEDULE/)
    expect(warnings[1]).toMatch(/^SPIDRA_KEY is ignored.*SPIDRA_API_KEY/)
    expect(warnings.join()).not.toContain('canary')
  })

  test('the variables that Kubernetes sets for a service named spidra-sync raise none', () => {
    const env = {
      ...KEY,
      SPIDRA_SYNC_SERVICE_HOST: '10.0.0.1',
      SPIDRA_SYNC_SERVICE_PORT_HTTP: '80',
      SPIDRA_SYNC_PORT: 'tcp://10.0.0.1:80',
      SPIDRA_SYNC_PORT_80_TCP_ADDR: '10.0.0.1',
    }

    expect(loadConfig(env, { needs: 'service' }).warnings).toEqual([])
  })

  test('.env.example has those of the schema', async () => {
    const example = await readFile('.env.example', 'utf8')

    expect(Array.from(example.matchAll(/^#?([A-Z_]+)=/gm), (match) => match[1]).sort()).toEqual(NAMES)
  })

  test('the table of the README has those of the schema', async () => {
    const readme = await readFile('README.md', 'utf8')
    const table = /^\| *variable.*\n(?:\|.*\n?)+/im.exec(readme)?.[0] ?? ''
    const firstCells = table.split('\n').map((row) => row.split('|')[1] ?? '')

    expect(Array.from(firstCells.join().matchAll(/`([A-Z_]+)`/g), (match) => match[1]).sort()).toEqual(NAMES)
  })
})

describe('secrets', () => {
  test('are all values that must not be shown, in each of their spellings', () => {
    const secrets = secretsAmong({
      SPIDRA_API_KEY: 'spd_k',
      DATABASE_URL: 'postgres://u:p%40s^s@h/d?password=q+r',
      DASHBOARD_PASSWORD: 'dash',
      ALERT_WEBHOOK_URL: 'https://hooks.test/T0/secret',
      HTTPS_PROXY: 'http://me:prox%21@p.test',
      https_proxy: 'http://t%6Fken@p.test',
      PGPASSWORD: 'pg-password',
    })

    expect(secrets).toEqual(
      expect.arrayContaining([
        'spd_k',
        'p%40s^s',
        'p@s^s',
        'q r',
        'dash',
        'https://hooks.test/T0/secret',
        '/T0/secret',
        'prox%21',
        'prox!',
        't%6Fken',
        'token',
        'pg-password',
      ]),
    )
    for (const harmless of ['', '/', 'me', 'u', 'h', 'd']) expect(secrets).not.toContain(harmless)
  })
})
