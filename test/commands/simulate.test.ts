import { expect, test } from 'vitest'
import { runSimulate, toSimulatorOptions } from '../../src/commands/simulate.js'
import { UsageError } from '../../src/config/errors.js'
import { startSimulator } from '../../src/simulator/server.js'

test('says where it is and serves until the signal aborts', async () => {
  const stopping = new AbortController()
  let output = ''
  let onOutput = () => {}
  const isUp = new Promise<void>((resolve) => {
    onOutput = resolve
  })
  const stdout = {
    write(text: string) {
      output += text
      if (output.includes('curl')) onOutput()
    },
  }
  const running = runSimulate({
    flags: { port: '0', jobs: '70', key: 'spd_x' },
    stdout,
    signal: stopping.signal,
  })
  await isUp
  expect(output).toMatch(/^Spidra account with 70 batch jobs at http:\/\/127\.0\.0\.1:\d+\/api \(key spd_x\)\n/)
  const url = /'(http[^']+)'/.exec(output)?.[1] ?? ''
  const answer = await fetch(url, { headers: { 'x-api-key': 'spd_x' } })
  expect(await answer.json()).toMatchObject({ pagination: { page: 1, limit: 50, total: 70, totalPages: 2 } })

  stopping.abort()
  await running
  await expect(fetch(url)).rejects.toThrow()
})

test.each([
  ['2', /^2 Spidra accounts with 140 batch jobs at http:\S+ \(keys spd_x and spd_x_2\)\n/],
  ['40', /^40 Spidra accounts with 2800 batch jobs at http:\S+ \(keys spd_x, spd_x_2 to spd_x_40\)\n/],
])('of %s accounts it says how many they are, and their keys', async (accounts, greeting) => {
  let output = ''
  await runSimulate({
    flags: { port: '0', jobs: '70', arrivals: '0', key: 'spd_x', accounts },
    stdout: { write: (text) => (output += text) },
    signal: AbortSignal.abort(),
  })
  expect(output).toMatch(greeting)
})

test('ends at once when it was aborted before', async () => {
  await runSimulate({ flags: { port: '0' }, stdout: { write: () => {} }, signal: AbortSignal.abort() })
})

test('has the defaults it documents', () => {
  expect(toSimulatorOptions({})).toEqual({
    port: 4010,
    jobs: 2000,
    seed: 1,
    arrivalsPerMinute: 6,
    removalsPerMinute: 0,
    speed: 1,
    latencyMs: 0,
    key: 'spd_demo',
    accounts: 1,
    rateLimit: { limit: 300, windowMs: 900_000 },
    faults: { rates: {} },
    ties: 0.05,
  })
})

test('reads every flag', () => {
  const flags = {
    port: '1',
    jobs: '2',
    seed: '3',
    epoch: '2026-01-01T00:00:00Z',
    arrivals: '4.5',
    removals: '5',
    speed: '60',
    latency: '7',
    key: 'k',
    accounts: '9',
    rateLimit: 'off',
    window: '8',
    faults: 'http500:0.02, dropped:0.01',
    ties: '0.5',
    cap: '300',
    lag: '1.5',
  }
  expect(toSimulatorOptions(flags)).toEqual({
    port: 1,
    jobs: 2,
    seed: 3,
    epoch: Date.UTC(2026),
    arrivalsPerMinute: 4.5,
    removalsPerMinute: 5,
    speed: 60,
    latencyMs: 7,
    key: 'k',
    accounts: 9,
    rateLimit: 'off',
    faults: { rates: { http500: 0.02, dropped: 0.01 } },
    ties: 0.5,
    cap: 300,
    backends: { count: 2, lagMs: 1500 },
  })
  expect(toSimulatorOptions({ lag: '0' })).toEqual(toSimulatorOptions({}))
  expect(toSimulatorOptions({ rateLimit: '10', window: '1.5' }).rateLimit).toEqual({ limit: 10, windowMs: 1500 })
})

test.each([
  ['--port', { port: '70000' }],
  ['--jobs', { jobs: '1.5' }],
  ['--seed', { seed: 'abc' }],
  ['--epoch', { epoch: 'yesterday' }],
  ['--arrivals', { arrivals: '-1' }],
  ['--removals', { removals: '' }],
  ['--speed', { speed: '0' }],
  ['--latency', { latency: '1s' }],
  ['--key', { key: ' ' }],
  ['--accounts', { accounts: '0' }],
  ['--accounts', { accounts: 'x' }],
  ['--rate-limit', { rateLimit: 'none' }],
  ['--window', { window: '0' }],
  ['--faults', { faults: 'http418:0.1' }],
  ['--faults', { faults: 'http500' }],
  ['--faults', { faults: 'http500:0.6,dropped:0.6' }],
  ['--ties', { ties: '2' }],
  ['--cap', { cap: '0' }],
  ['--cap', { cap: '2.5' }],
  ['--lag', { lag: '-1' }],
])('names %s when its value cannot be used: %o', (flag, flags) => {
  expect(() => toSimulatorOptions(flags)).toThrow(UsageError)
  expect(() => toSimulatorOptions(flags)).toThrow(flag)
})

test('names --port when the port is in use', async () => {
  await using other = await startSimulator()
  const run = { flags: { port: String(other.port) }, stdout: { write: () => {} }, signal: AbortSignal.abort() }
  await expect(runSimulate(run)).rejects.toThrow(new UsageError(`--port ${other.port} cannot be used (EADDRINUSE)`))
})
