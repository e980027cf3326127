import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { createFolder, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { completeAccounts, createFleet, differences, entriesOf, nameOf } from '../support/fleet.js'
import { loadedModules } from '../support/loaded-modules.js'
import { LOOPBACK_NOTE, ownLoopback } from '../support/own-loopback.js'
import { PATIENCE, serviceEnv, simulateFor } from '../support/service.js'

const UNLIMITED = { RATE_LIMIT_REQUESTS: 'off' }

test('one account without a role: the queue is neither loaded nor created', async () => {
  await using database = await createCliDatabase()
  await using api = await simulateFor()
  await using folder = await createFolder()
  // V8 notes every script that it ran.
  const env = { ...serviceEnv(api, database), NODE_V8_COVERAGE: folder.path }
  await using service = await startCli(['start'], { env })
  await service.says(/"msg":"run finished"/)
  service.kill('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0 })

  const modules = await loadedModules(folder.path)
  expect(modules).toContain('src/commands/start.ts')
  expect(modules.filter((name) => /^src\/fleet\/|pg-boss/.test(name))).toEqual([])
  expect(await database.sql("SELECT to_regnamespace('spidra_queue') AS schema")).toEqual([{ schema: null }])
})

test('a refused key is a dead letter that status shows, and delays nobody', { timeout: 60_000 }, async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 120, accounts: 3, rateLimit: 'off', arrivalsPerMinute: 0 })
  await using fleet = await createFleet(api, database, UNLIMITED)
  await fleet.write([{ name: 'refused', apiKey: 'spd_wrong-key-that-nobody-may-see' }, ...entriesOf(api)])
  await fleet.startBoth()

  await expect.poll(() => completeAccounts(database), PATIENCE).toBe(3)
  await expect
    .poll(async () => (await fleet.status()).stdout, PATIENCE)
    .toMatch(/A run of account refused failed for good, the last at [^\n]+:\s+Spidra/)

  expect(JSON.parse((await fleet.status('--json')).stdout)).toMatchObject({
    version: 1,
    accounts: ['refused', ...[1, 2, 3].map(nameOf)].map((account) => ({ account })),
    fleet: { workers: [{ role: 'both', runsInParallel: 4 }], deadLetters: [{ account: 'refused' }] },
  })
  expect((await fleet.status()).stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
})

test('SIGHUP brings accounts in and takes them out; a file with a fault changes nothing', {
  timeout: 90_000,
}, async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 120, accounts: 3, rateLimit: 'off', arrivalsPerMinute: 0 })
  await using fleet = await createFleet(api, database, UNLIMITED)
  const [first, second, third] = entriesOf(api)
  if (first === undefined || second === undefined || third === undefined)
    throw new Error('three accounts were asked for')
  await fleet.write([first, second])
  const service = await fleet.startBoth()
  await expect.poll(() => completeAccounts(database), PATIENCE).toBe(2)

  await fleet.write('[{ "name": "broken" }]')
  service.kill('SIGHUP')
  await service.says(/SPIDRA_ACCOUNTS_FILE\[0\][^\n]*"msg":"accounts file cannot be used/)

  await fleet.write([second, third])
  service.kill('SIGHUP')
  await expect.poll(() => completeAccounts(database), PATIENCE).toBe(3)
  const runs = () =>
    database.sql<{ runs: number }>('SELECT count(*)::integer AS runs FROM spidra.sync_runs WHERE account = $1', [
      first.name,
    ])
  expect(
    await database.sql("SELECT id FROM spidra_queue.job WHERE data->>'account' = $1 AND state < 'active'", [
      first.name,
    ]),
  ).toEqual([])
  const before = await runs()
  await database.sql('SELECT pg_sleep(6)') // a tick comes every five seconds
  expect(await runs()).toEqual(before)
})

test('a worker leaves runs of accounts that it does not know in the queue, until it has read its file again', {
  timeout: 90_000,
}, async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 120, accounts: 2, rateLimit: 'off', arrivalsPerMinute: 0 })
  await using fleet = await createFleet(api, database, UNLIMITED)
  const [known, added] = entriesOf(api)
  if (known === undefined || added === undefined) throw new Error('two accounts were asked for')
  await fleet.write([known])
  const worker = await fleet.startWorker(1)
  await worker.says(/"msg":"fleet joined"/)
  await fleet.write([known, added])
  await fleet.startScheduler()

  await expect.poll(() => completeAccounts(database), PATIENCE).toBe(1)
  await expect.poll(async () => (await fleet.status()).stdout, PATIENCE).toMatch(/1 waiting, the oldest for [4-9] s/)
  expect(await database.sql('SELECT id FROM spidra.sync_runs WHERE account = $1', [added.name])).toEqual([])
  expect(
    await database.sql("SELECT name, state FROM spidra_queue.job WHERE state = 'retry' OR name <> 'runs'"),
  ).toEqual([])

  worker.kill('SIGHUP')
  await expect.poll(() => completeAccounts(database), PATIENCE).toBe(2)
})

test('a service becomes a fleet when SIGHUP adds a second account to its file', { timeout: 60_000 }, async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 120, accounts: 2, rateLimit: 'off', arrivalsPerMinute: 0 })
  await using fleet = await createFleet(api, database, UNLIMITED)
  await fleet.write(entriesOf(api).slice(0, 1))
  const service = await fleet.startBoth()
  await expect.poll(() => completeAccounts(database), PATIENCE).toBe(1)
  expect(service.stdout).not.toContain('fleet joined')

  await fleet.write(entriesOf(api))
  service.kill('SIGHUP')

  await service.says(/"msg":"fleet joined"/)
  await expect.poll(() => completeAccounts(database), PATIENCE).toBe(2)
  service.kill('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
})

test.runIf(ownLoopback)(
  `an account goes on at whichever machine has budget, from its position${LOOPBACK_NOTE}`,
  { timeout: 120_000 },
  async () => {
    const windowMs = 20_000
    const pages = 50
    await using database = await createCliDatabase()
    await using api = await startSimulator({
      ...{ jobs: pages * 50, rateLimit: { limit: 40, windowMs }, arrivalsPerMinute: 0 },
    })
    await using fleet = await createFleet(api, database, {
      SYNC_SCHEDULE: '0 0 29 2 *',
      RATE_LIMIT_WINDOW_SECONDS: '20',
    })
    await Promise.all([fleet.startWorker(2), fleet.startWorker(3)])
    await fleet.startScheduler()

    await expect.poll(() => completeAccounts(database), { timeout: 100_000, interval: 100 }).toBe(1)

    const runs = await database.sql<{ worker: string; code: string | null }>(
      'SELECT worker, error_code AS code FROM spidra.sync_runs ORDER BY id',
    )
    expect(runs.slice(0, -1).map(({ code }) => code)).toEqual(runs.slice(1).map(() => 'handed_on'))
    expect(new Set(runs.slice(0, 2).map(({ worker }) => worker)).size).toBe(2)
    // Each machine within its half of 40 a window, less the last few: one alone would have needed three windows more.
    const asked = api.requests.map(({ address, status }) => `${address} ${status}`)
    for (const one of ['127.0.0.2 200', '127.0.0.3 200']) {
      const ofTheFirst = asked.slice(0, 40).filter((other) => other === one).length
      expect(ofTheFirst).toBeGreaterThanOrEqual(18)
      expect(ofTheFirst).toBeLessThanOrEqual(22)
    }
    expect(asked.length).toBeLessThanOrEqual(pages + 3 * runs.length)
    expect(await differences(database, api)).toEqual([])
  },
)
