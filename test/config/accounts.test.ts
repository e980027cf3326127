import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { keysIn, readAccounts, readAccountsFile, variablesNamedIn } from '../../src/config/accounts.js'
import { loadConfig } from '../../src/config/config.js'
import { ConfigError } from '../../src/config/errors.js'
import type { Environment } from '../../src/config/variables.js'

/** A file with this content, which is made JSON unless it is a text. */
async function fileOf(content: unknown, mode = 0o600): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spidra-sync-accounts-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  await chmod(directory, 0o755)
  const path = join(directory, 'accounts.json')
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  await chmod(path, mode)
  return path
}

/** What is read in this environment. */
function read(env: Environment) {
  const config = loadConfig(env, { needs: 'sync' })
  return readAccounts({ config, file: readAccountsFile(env), env })
}

async function accountsOf(content: unknown, env: Environment = {}) {
  return read({ SPIDRA_ACCOUNTS_FILE: await fileOf(content), ...env })
}

/** The problems of a refused file, by their place. */
async function problemsOf(content: unknown, env: Environment = {}): Promise<Record<string, string>> {
  try {
    await accountsOf(content, env)
    return {}
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    expect(error.message).not.toMatch(/canary/i)
    expect(error.stack).not.toMatch(/canary/i)
    expect(error.cause).toBeUndefined()
    return Object.fromEntries(error.problems.map(({ variable, problem }) => [variable, problem]))
  }
}

const one = (fields: object) => [{ name: 'berlin', apiKey: 'spd_berlin', ...fields }]

describe('without a file', () => {
  test('the key of the environment is the only account, called default', () => {
    const env = { SPIDRA_API_KEY: 'spd_k' }
    const config = loadConfig(env, { needs: 'sync' })

    const { accounts } = readAccounts({ config, file: readAccountsFile(env), env })

    const rest = { apiUrl: 'https://api.spidra.io/api', pagesPerRun: 20, results: null, schedule: '*/5 * * * *' }
    const keyOrigin = 'SPIDRA_API_KEY'
    expect(accounts).toEqual([{ name: 'default', apiKey: 'spd_k', keyOrigin, ...rest }])
  })
})

describe('an entry', () => {
  test('has its own values, and those of the environment for the fields it leaves out', async () => {
    const list = [
      { name: 'berlin', apiKey: 'spd_berlin' },
      ...[
        {
          name: 'paris',
          apiKeyEnv: 'PARIS',
          apiUrl: 'https://x.test/api/',
          pagesPerRun: 7,
          results: 'full',
          schedule: '0 * * * *',
        },
      ],
      { name: 'rome', apiKey: 'spd_rome', schedule: 'off', pagesPerRun: '8', results: 'off' },
    ]
    const env = {
      PARIS: 'spd_paris',
      SPIDRA_API_URL: 'https://y.test',
      PAGES_PER_RUN: '9',
      SYNC_RESULTS: 'items',
      SYNC_SCHEDULE: '1 * * * *',
    }

    const { accounts, warnings } = await accountsOf(list, env)

    expect(accounts).toMatchObject([
      {
        name: 'berlin',
        apiKey: 'spd_berlin',
        apiUrl: 'https://y.test',
        pagesPerRun: 9,
        results: 'items',
        schedule: '1 * * * *',
      },
      {
        name: 'paris',
        apiKey: 'spd_paris',
        apiUrl: 'https://x.test/api',
        pagesPerRun: 7,
        results: 'full',
        schedule: '0 * * * *',
      },
      { name: 'rome', apiKey: 'spd_rome', apiUrl: 'https://y.test', pagesPerRun: 8, results: null, schedule: null },
    ])
    expect(accounts.map(({ keyOrigin }) => keyOrigin)).toEqual([
      'the key of account berlin (in SPIDRA_ACCOUNTS_FILE)',
      'the key of account paris (variable PARIS)',
      'the key of account rome (in SPIDRA_ACCOUNTS_FILE)',
    ])
    expect(warnings).toEqual([])
    expect([accounts, ...accounts].every(Object.isFrozen)).toBe(true)
  })

  test.each([
    [{ apiKey: 'canary key' }, 'apiKey', /^must be printable ASCII/],
    [{ apiKey: '' }, 'apiKey', /^must be printable ASCII/],
    [{ apiKey: 5 }, 'apiKey', /^must be a text/],
    [{ apiKey: undefined }, '', /^needs apiKey, or apiKeyEnv/],
    [{ apiKeyEnv: 'SET' }, '', /^has apiKey and apiKeyEnv/],
    [{ apiKey: undefined, apiKeyEnv: 'CANARY' }, 'apiKeyEnv', /^names a variable that is not set/],
    [{ apiKey: undefined, apiKeyEnv: 'EMPTY' }, 'apiKeyEnv', /^names a variable that is not set/],
    [{ apiKey: undefined, apiKeyEnv: 'constructor' }, 'apiKeyEnv', /^names a variable that is not set/],
    [{ apiKey: undefined, apiKeyEnv: 'BAD' }, 'apiKeyEnv', /^names a variable whose value must be printable/],
    [{ apiUrl: 'ftp://canary.test' }, 'apiUrl', /^must begin with https/],
    [{ apiUrl: 'http://canary.test' }, 'apiUrl', /^must be https/],
    [{ apiUrl: 'https://me:canary@x.test' }, 'apiUrl', /^must not carry credentials/],
    [{ pagesPerRun: 0 }, 'pagesPerRun', /^must be a whole number from 1 to 1000000/],
    [{ pagesPerRun: 1.5 }, 'pagesPerRun', /^must be a whole number/],
    [{ pagesPerRun: true }, 'pagesPerRun', /^must be a number/],
    [{ results: 'all' }, 'results', /^must be one of off, items, full/],
    [{ schedule: 'canary' }, 'schedule', /^must be a cron expression/],
    [{ schedule: '0 0 30 FEB *' }, 'schedule', /^must be/],
    [{ schedule: null }, 'schedule', /^must be a text/],
    [{ shedule: 'off' }, '', /^has the field shedule, which is none of name, apiKey, apiKeyEnv, apiUrl/],
    [{ spd_canary_1: 'off' }, '', /^has a field, which is none of/],
    [{ name: '' }, 'name', /^must be 1 to 100 printable characters/],
    [{ name: 'x'.repeat(101) }, 'name', /^must be 1 to 100 printable characters/],
    [{ name: 'a\u001b[2J' }, 'name', /^must be 1 to 100 printable characters/],
    [{ name: ' a' }, 'name', /without a space at either end/],
    [{ name: 7 }, 'name', /^is required, and must be a text/],
  ])('is refused with %j, by its place and not by its value', async (fields, field, problem) => {
    const problems = await problemsOf(one(fields), { SET: 'spd_set', EMPTY: '', BAD: 'canary key' })

    expect(problems).toEqual({ [`SPIDRA_ACCOUNTS_FILE[0]${field && `.${field}`}`]: expect.stringMatching(problem) })
  })

  test('may use http to another machine if the environment permits it', async () => {
    const list = one({ apiUrl: 'http://x.test' })

    expect(await problemsOf(list, { SPIDRA_API_ALLOW_HTTP: 'true' })).toEqual({})
  })
})

describe('the file', () => {
  test('reports every problem at once, with the name of the account if it has one', async () => {
    const list = [...one({ schedule: 'canary', pagesPerRun: -1 }), 7, ...one({ apiKey: 'spd_x' }), { apiKey: 'spd_y' }]

    expect(await problemsOf(list)).toEqual({
      'SPIDRA_ACCOUNTS_FILE[0].schedule': expect.stringMatching(/ \(account berlin\)$/),
      'SPIDRA_ACCOUNTS_FILE[0].pagesPerRun': expect.stringMatching(/ \(account berlin\)$/),
      'SPIDRA_ACCOUNTS_FILE[1]': 'must be an object with name and apiKey',
      'SPIDRA_ACCOUNTS_FILE[2].name': 'is also the name of entry 0 (account berlin)',
      'SPIDRA_ACCOUNTS_FILE[3].name': expect.stringMatching(/^is required/),
    })
  })

  test('reports the problems of all fields of all entries at once', async () => {
    const entry = (pagesPerRun: unknown) => ({
      ...{ name: '', apiKey: 'canary key', apiKeyEnv: 'CANARY', apiUrl: 'ftp://canary.test', pagesPerRun },
      ...{ results: 'canary', schedule: 'canary', shedule: 'canary' },
    })
    const fields = ['name', 'apiKey', 'apiKeyEnv', 'apiUrl', 'pagesPerRun', 'results', 'schedule']

    const problems = await problemsOf(['0', 'canary', '1.5', 0, true].map(entry))

    expect(Object.keys(problems).sort()).toEqual(
      [0, 1, 2, 3, 4]
        .flatMap((index) => ['', ...fields.map((field) => `.${field}`)].map((field) => `[${index}]${field}`))
        .map((place) => `SPIDRA_ACCOUNTS_FILE${place}`)
        .sort(),
    )
  })

  test('may write a number as text, which is no problem', async () => {
    const problems = await problemsOf(one({ pagesPerRun: '5', schedule: 'canary' }))

    expect(Object.keys(problems)).toEqual(['SPIDRA_ACCOUNTS_FILE[0].schedule'])
  })

  test.each([
    ['[]', /^holds an empty list/],
    ['{"name": "canary"}', /^must hold a list/],
    ['[{"apiKey": "spd_canary",}]', /^names a file that is not JSON/],
    ['', /^names a file that is not JSON/],
    [`["${'x'.repeat(1_000_000)}"]`, /^is larger than 1 MB/],
  ])('is refused where it holds %.30s', async (content, problem) => {
    expect(await problemsOf(content)).toEqual({ SPIDRA_ACCOUNTS_FILE: expect.stringMatching(problem) })
  })

  test.each([
    [join(tmpdir(), 'no-such-file.json'), /does not exist/],
    ['/dev/zero', /is not a regular file/],
    [tmpdir(), /cannot be read \(EISDIR\)/],
    ['a\0b', /cannot be read \(ERR_INVALID_ARG_VALUE\)/],
  ])('is refused where it is %j', (path, problem) => {
    expect(() => read({ SPIDRA_ACCOUNTS_FILE: path })).toThrow(problem)
  })

  test('may begin with a byte order mark, as Windows editors write it', async () => {
    expect((await accountsOf(`\uFEFF${JSON.stringify(one({}))}`)).accounts).toHaveLength(1)
  })

  test.each([
    [0o644, one({}), 1],
    [0o640, one({}), 0],
    [0o644, [{ name: 'berlin', apiKeyEnv: 'BERLIN' }], 0],
  ])('of mode %o with %j raises %i warnings that everybody can read it', async (mode, list, count) => {
    const path = await fileOf(list, mode)

    const { warnings } = read({ SPIDRA_ACCOUNTS_FILE: path, BERLIN: 'spd_berlin' })

    expect(warnings).toEqual(
      Array(count).fill(`${path} holds secrets, and every user of this machine can read it: chmod 600 ${path}`),
    )
  })

  test('with accounts that have one key is refused, also at another URL, and without the key', async () => {
    const list = [
      ...one({ apiKey: 'spd_canary' }),
      { name: 'paris', apiKey: 'spd_canary' },
      { name: 'elsewhere', apiKey: 'spd_canary', apiUrl: 'https://x.test' },
    ]

    expect(await problemsOf(list)).toEqual({
      'SPIDRA_ACCOUNTS_FILE[1]': 'has the same key as entry 0, account berlin: list each account once (account paris)',
      'SPIDRA_ACCOUNTS_FILE[2]':
        'has the same key as entry 0, account berlin: list each account once (account elsewhere)',
    })
  })
})

describe('a file beside SPIDRA_API_KEY', () => {
  const names = ({ accounts }: ReturnType<typeof read>) => accounts.map(({ name, apiKey }) => [name, apiKey])

  test('makes the key one more account, called default', async () => {
    expect(names(await accountsOf(one({}), { SPIDRA_API_KEY: 'spd_k' }))).toEqual([
      ['default', 'spd_k'],
      ['berlin', 'spd_berlin'],
    ])
  })

  test('takes precedence with an account named default, and warns', async () => {
    const read = await accountsOf(one({ name: 'default' }), { SPIDRA_API_KEY: 'spd_k' })

    expect(names(read)).toEqual([['default', 'spd_berlin']])
    expect(read.warnings).toEqual([expect.stringMatching(/^SPIDRA_API_KEY is not used/)])
  })

  test('is refused if it holds that key itself', async () => {
    expect(await problemsOf(one({ apiKey: 'spd_canary' }), { SPIDRA_API_KEY: 'spd_canary' })).toEqual({
      SPIDRA_API_KEY: expect.stringMatching(
        /^is also the key of account berlin in SPIDRA_ACCOUNTS_FILE, and cannot be that of account default too/,
      ),
    })
  })

  test('adds no account for a key that an entry takes by apiKeyEnv', async () => {
    const list = [{ name: 'berlin', apiKeyEnv: 'SPIDRA_API_KEY' }]

    expect(names(await accountsOf(list, { SPIDRA_API_KEY: 'spd_k' }))).toEqual([['berlin', 'spd_k']])
  })
})

test('finds keys and variables in a file with problems too, so that they can be hidden', async () => {
  const list = [{ apiKey: 'one' }, 7, null, ['x'], { apiKey: 2, apiKeyEnv: 'TWO', more: [] }, { apiKey: 'three three' }]
  const file = readAccountsFile({ SPIDRA_ACCOUNTS_FILE: await fileOf(list) })

  expect([keysIn(file), variablesNamedIn(file)]).toEqual([['one', 'three three'], ['TWO']])
  expect(keysIn(readAccountsFile({ SPIDRA_ACCOUNTS_FILE: await fileOf({ apiKey: 'four' }) }))).toEqual(['four'])
  expect(keysIn(null)).toEqual([])
})
