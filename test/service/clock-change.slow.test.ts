import { describe, expect, test, vi } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY, type CliProcess, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { createFakeClock, FAKETIME, FAKETIME_NOTE, type FakeClock } from '../support/fake-clock.js'

const SECOND_MS = 1_000

const SOON = { timeout: 20_000, interval: 100 }

interface Line {
  readonly msg: string
  readonly mode?: string
  readonly trigger?: string
  /** By the clock of the process. */
  readonly time: string
}

const linesOf = ({ stdout }: CliProcess): Line[] =>
  stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

/** A service in Berlin with a daily full run at 02:30 and a short incremental schedule, whose clock shows `instant`. */
async function startInBerlin(instant: string) {
  const database = await createCliDatabase()
  const api = await startSimulator({ jobs: 60, key: API_KEY, rateLimit: 'off' })
  const clock = await createFakeClock()
  await clock.set(instant)
  const service = await startCli(['start'], {
    env: {
      ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url, HTTP_PORT: 'off' },
      ...{ SYNC_SCHEDULE: '*/2 * * * * *', FULL_SYNC_SCHEDULE: '30 2 * * *', SCHEDULE_TIMEZONE: 'Europe/Berlin' },
      ...clock.env,
    },
  })
  // The first run is a full one, and would do the work of a full tick during it.
  await vi.waitFor(() => expect(incrementalRuns(service)).not.toEqual([]), { timeout: 60_000, interval: 100 })
  /** When full runs began by schedule. */
  const fullRuns = () =>
    linesOf(service)
      .filter(({ msg, mode, trigger }) => msg === 'run started' && mode === 'full' && trigger === 'schedule')
      .map(({ time }) => time.slice(0, 16))
  return {
    service,
    clock,
    /** Waits until another incremental run by schedule has begun, after the instant by the clock of the process. */
    untilRunAfter(after: string) {
      const known = incrementalRuns(service).length
      const isAfter = ({ time }: Line) => Date.parse(time) > Date.parse(after)
      return vi.waitFor(() => expect(incrementalRuns(service).slice(known).some(isAfter)).toBe(true), {
        timeout: 60_000,
        interval: 100,
      })
    },
    /** When the next run is due, as the database has it. */
    async nextRun() {
      const [row] = await database.sql<{ at: Date }>('SELECT next_run_at AS at FROM spidra.sync_state')
      return row?.at.toISOString()
    },
    fullRuns,
    /** Waits for these: a full tick during an incremental run lets the full run follow that one. */
    untilFullRuns: (expected: readonly string[]) => vi.waitFor(() => expect(fullRuns()).toEqual(expected), SOON),
    async [Symbol.asyncDispose]() {
      service.kill('SIGTERM')
      const { code } = await service.ended
      await Promise.all([api, clock, database].map((part) => part[Symbol.asyncDispose]()))
      expect(code).toBe(0)
    },
  }
}

const incrementalRuns = (service: CliProcess) =>
  linesOf(service).filter(
    ({ msg, mode, trigger }) => msg === 'run started' && mode === 'incremental' && trigger === 'schedule',
  )

/** Lets the clock stand a few seconds before the instant, and waits until it has passed. */
async function pass(it: { readonly clock: FakeClock; untilRunAfter(after: string): Promise<void> }, instant: string) {
  await it.clock.set(new Date(Date.parse(instant) - 2 * SECOND_MS).toISOString())
  await it.untilRunAfter(new Date(Date.parse(instant) + 2 * SECOND_MS).toISOString())
}

describe.skipIf(FAKETIME === null)(
  `a daily full run at 02:30 where clocks change${FAKETIME_NOTE}`,
  { concurrent: true },
  () => {
    test('forward, over 02:30: there is no full run that day, and incremental runs go on', {
      timeout: 120_000,
    }, async () => {
      await using it = await startInBerlin('2027-03-28T01:50:00+01:00')
      await pass(it, '2027-03-28T03:00:00+02:00')
      await pass(it, '2027-03-28T03:30:00+02:00')
      await pass(it, '2027-03-28T04:00:00+02:00')
      expect(it.fullRuns()).toEqual([])

      await pass(it, '2027-03-29T02:30:00+02:00')
      await it.untilFullRuns(['2027-03-29T00:30'])
    })

    test('back, so that 02:30 comes twice: it runs the second time only, and incremental runs pause until then', {
      timeout: 120_000,
    }, async () => {
      await using it = await startInBerlin('2027-10-31T01:50:00+02:00')
      await it.clock.set('2027-10-31T02:10:00+02:00')
      await it.service.says(/"msg":"the clock was set"/)
      await vi.waitFor(async () => expect(await it.nextRun()).toMatch(/^2027-10-31T01:\d\d/), SOON)

      await pass(it, '2027-10-31T02:30:00+01:00')
      await pass(it, '2027-10-31T03:00:00+01:00')
      await it.untilFullRuns(['2027-10-31T01:30'])

      await pass(it, '2027-11-01T02:30:00+01:00')
      await it.untilFullRuns(['2027-10-31T01:30', '2027-11-01T01:30'])
    })

    test('a clock that is set back by two hours stops no schedule; a full run that it comes to again runs again', {
      timeout: 120_000,
    }, async () => {
      await using it = await startInBerlin('2027-06-10T02:20:00+02:00')
      await pass(it, '2027-06-10T02:30:00+02:00')
      await it.clock.set('2027-06-10T00:30:00+02:00')
      await it.service.says(/"jumpMs":-\d+,"msg":"the clock was set"/)
      await pass(it, '2027-06-10T02:30:00+02:00')
      await it.untilFullRuns(['2027-06-10T00:30', '2027-06-10T00:30'])
    })

    test('a clock that is set forward over a tick brings the run late, and says so', { timeout: 60_000 }, async () => {
      await using it = await startInBerlin('2027-06-10T01:40:00+02:00')
      await it.clock.set('2027-06-10T03:40:00+02:00')
      await it.service.says(/"mode":"full"[^\n]*"msg":"tick late"/)
      await it.untilRunAfter('2027-06-10T03:40:10+02:00')
      await it.untilFullRuns(['2027-06-10T01:40'])
    })
  },
)
