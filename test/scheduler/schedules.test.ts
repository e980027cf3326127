import { getTasks } from 'node-cron'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { createLogger } from '../../src/logging/logger.js'
import { type SchedulesOptions, shortestInterval, startSchedules } from '../../src/scheduler/schedules.js'

const START = '2027-06-10T12:00:00.000Z'
const MINUTE = 60
const HOUR = 60 * MINUTE

beforeEach(() => void vi.useFakeTimers({ now: new Date(START) }))
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** Schedules with all their ticks, each with the time that the clock showed. */
async function ticking(schedules: Partial<Pick<SchedulesOptions, 'sync' | 'fullSync' | 'timezone'>>) {
  const ticks: string[] = []
  const logged: { level: string; msg: string; jumpMs?: number }[] = []
  const onClockSet = vi.fn()
  const running = startSchedules({
    ...{ sync: null, fullSync: null, timezone: 'Etc/UTC', ...schedules },
    onTick: (mode) => void ticks.push(`${mode} ${new Date().toISOString().slice(5, 19)}`),
    onClockSet,
    timing: TIMING,
    log: await createLogger({
      ...{ level: 'debug', format: 'json', secrets: [] },
      destination: { write: (line) => void logged.push(JSON.parse(line)) },
    }),
  })
  return {
    ...{ ...running, ticks, onClockSet, logged },
    messages: () => logged.map(({ msg }) => msg),
    [Symbol.dispose]: () => running.stop(),
  }
}

const seconds = (count: number) => vi.advanceTimersByTimeAsync(count * 1_000)
const setClock = (to: string) => vi.setSystemTime(new Date(to))

test('ticks when due; in a second that both schedules name, only the full one ticks', async () => {
  using it = await ticking({ fullSync: '*/20 * * * * *', sync: '*/10 * * * * *' })
  await seconds(45)

  expect(it.ticks).toEqual([
    ...['incremental 06-10T12:00:10', 'full 06-10T12:00:20'],
    ...['incremental 06-10T12:00:30', 'full 06-10T12:00:40'],
  ])
  expect(it.logged).toEqual([])
})

test('a stop ends the ticks, and leaves neither a timer nor a task', async () => {
  const it = await ticking({ fullSync: '*/20 * * * * *', sync: '*/10 * * * * *' })
  it.stop()
  await seconds(60)

  expect(it.ticks).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
  expect(getTasks().size).toBe(0)
})

test('a process that stood still runs the latest tick of each schedule late, once, and says so', async () => {
  using it = await ticking({ fullSync: '30 12 * * *', sync: '*/5 * * * *' })
  await seconds(1)
  // Both clocks went on.
  const now = performance.now()
  vi.spyOn(performance, 'now').mockImplementation(() => now + Date.now() - Date.parse(START) - 1_000)
  setClock('2027-06-10T14:02:00Z')
  await seconds(HOUR)

  expect(it.ticks.filter((tick) => tick.startsWith('full'))).toHaveLength(1)
  expect(it.messages()).toEqual(['tick late', 'tick late'])
})

describe('a clock set forward', () => {
  test('over a tick brings it at once, once for as many as were skipped, and says so', async () => {
    using it = await ticking({ fullSync: '0 13 * * *', sync: '*/5 * * * *' })
    setClock('2027-06-10T14:02:00Z')
    await seconds(5)
    await seconds(180)

    expect(it.ticks).toEqual(['full 06-10T14:02:05', 'incremental 06-10T14:02:05', 'incremental 06-10T14:05:00'])
    expect(it.messages()).toEqual(['the clock was set', 'tick late', 'tick late'])
    expect(it.onClockSet).toHaveBeenCalledTimes(1)
  })

  test('by fifty years, as on a machine that wakes without a clock, brings one tick', async () => {
    using it = await ticking({ sync: '*/5 * * * *' })
    setClock('2077-06-10T12:00:00.500Z')
    await seconds(5)

    expect(it.ticks).toHaveLength(1)
    expect(it.messages()).toEqual(['the clock was set', 'tick late'])
  })

  test('over no tick brings none, and the next one comes on time', async () => {
    using it = await ticking({ sync: '0 * * * *' })
    setClock('2027-06-10T12:30:00Z')
    await seconds(30 * MINUTE)

    expect(it.ticks).toEqual(['incremental 06-10T13:00:00'])
    expect(it.messages()).toEqual(['the clock was set'])
  })
})

describe('a clock set back', () => {
  test('does not stop the schedule', async () => {
    using it = await ticking({ sync: '*/5 * * * *' })
    await seconds(301)
    setClock('2027-06-10T10:02:00Z')
    await seconds(600)

    expect(it.ticks.map((tick) => tick.slice(-8))).toEqual(['12:05:00', '10:05:00', '10:10:00'])
    expect(it.messages()).toEqual(['the clock was set'])
    expect(it.logged[0]?.jumpMs).toBeLessThan(-7_000_000)
    expect(it.nextRun()?.toISOString()).toBe('2027-06-10T10:15:00.000Z')
  })

  test('behind a tick repeats it, as the clock comes to its time again', async () => {
    using it = await ticking({ fullSync: '1 12 * * *' })
    await seconds(120)
    setClock('2027-06-10T11:00:00Z')
    await seconds(2 * HOUR)

    expect(it.ticks).toEqual(['full 06-10T12:01:00', 'full 06-10T12:01:00'])
    expect(it.messages()).toEqual(['the clock was set'])
  })

  test('by a year ticks again the next day', async () => {
    using it = await ticking({ fullSync: '1 12 * * *' })
    await seconds(120)
    setClock('2026-06-10T12:02:00Z')
    await seconds(25 * HOUR)

    expect(it.ticks).toEqual(['full 06-10T12:01:00', 'full 06-11T12:01:00'])
  })

  test('by a fraction of a second, as time services correct clocks, is no event', async () => {
    using it = await ticking({ sync: '*/5 * * * *' })
    await seconds(300)
    setClock('2027-06-10T12:04:59.700Z')
    await seconds(301)

    expect(it.ticks).toEqual(['incremental 06-10T12:05:00', 'incremental 06-10T12:10:00'])
    expect(it.messages()).not.toContain('the clock was set')
  })
})

describe('on the two days a year when clocks change', () => {
  /** All ticks of some hours. */
  async function ticksOf(expression: string, timezone: string, from: string, hours: number): Promise<string[]> {
    vi.setSystemTime(new Date(from))
    using it = await ticking({ sync: expression, timezone })
    await seconds(hours * HOUR)
    return it.ticks.map((tick) => tick.slice('incremental '.length, -3))
  }

  test('forward: a time that clocks leave out does not tick that day', async () => {
    expect(await ticksOf('30 2 * * *', 'Europe/Berlin', '2027-03-27T22:00:00Z', 30)).toEqual(['03-29T00:30'])
  })

  test('forward: every half hour stays every half hour', async () => {
    expect(await ticksOf('*/30 * * * *', 'Europe/Berlin', '2027-03-28T00:15:00Z', 2)).toEqual([
      ...['03-28T00:30', '03-28T01:00', '03-28T01:30', '03-28T02:00'],
    ])
  })

  test('back: a time that comes twice ticks once: east of Greenwich the second time, west of it the first', async () => {
    expect(await ticksOf('30 2 * * *', 'Europe/Berlin', '2027-10-30T22:00:00Z', 12)).toEqual(['10-31T01:30'])
    expect(await ticksOf('30 1 * * *', 'America/New_York', '2027-11-07T00:00:00Z', 12)).toEqual(['11-07T05:30'])
  })

  test('back: a schedule of minutes pauses for the hour that comes twice', async () => {
    expect(await ticksOf('*/30 * * * *', 'Europe/Berlin', '2027-10-30T23:15:00Z', 2)).toEqual([
      ...['10-30T23:30', '10-31T01:00'],
    ])
    expect(await ticksOf('*/30 * * * *', 'Etc/UTC', '2027-10-30T23:15:00Z', 2)).toEqual([
      ...['10-30T23:30', '10-31T00:00', '10-31T00:30', '10-31T01:00'],
    ])
  })
})

describe('the shortest interval', () => {
  test('is that of the most frequent expression', () => {
    expect(shortestInterval(['*/5 * * * *', '0 3 * * *'])).toBe(300_000)
    expect(shortestInterval([null, '*/2 * * * * *'])).toBe(2_000)
    expect(shortestInterval([null, '0 0 29 2 *'])).toBe(4 * 365.25 * 24 * HOUR * 1_000)
    expect(shortestInterval([null, null])).toBeNull()
    expect(getTasks().size).toBe(0)
  })
})
