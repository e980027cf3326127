import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { createLogger } from '../../src/logging/logger.js'
import { createCron } from '../../src/scheduler/cron.js'
import { startTicks } from '../../src/scheduler/schedules.js'

const START = '2027-06-10T12:00:00.000Z'

beforeEach(() => void vi.useFakeTimers({ now: new Date(START) }))
afterEach(() => void vi.useRealTimers())

/** Schedules by mode, first things first; all ticks, with the time that the clock showed. */
async function ticking(expressions: Readonly<Record<string, string>>) {
  const ticks: string[] = []
  const logged: { level: string; msg: string; jumpMs?: number }[] = []
  const onClockSet = vi.fn()
  const running = startTicks({
    schedules: Object.entries(expressions).map(([mode, text]) => ({ mode, cron: createCron(text, 'Etc/UTC') })),
    onTick: (mode) => void ticks.push(`${mode} ${new Date().toISOString().slice(11, 19)}`),
    onClockSet,
    timing: TIMING,
    log: await createLogger({
      ...{ level: 'debug', format: 'json', secrets: [] },
      destination: { write: (line) => void logged.push(JSON.parse(line)) },
    }),
  })
  return { ...running, ticks, onClockSet, said: () => logged.map(({ msg }) => msg), logged }
}

const seconds = (count: number) => vi.advanceTimersByTimeAsync(count * 1_000)
const setClock = (to: string) => vi.setSystemTime(new Date(to))

test('ticks when due, in the order of the schedules, and not after the stop', async () => {
  const it = await ticking({ full: '*/20 * * * * *', incremental: '*/10 * * * * *' })
  await seconds(25)
  it.stop()
  await seconds(60)

  expect(it.ticks).toEqual(['incremental 12:00:10', 'full 12:00:20', 'incremental 12:00:20'])
  expect(it.logged).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
})

describe('a clock set forward', () => {
  test('over a tick brings it at once, once for as many as were missed, and says so', async () => {
    const it = await ticking({ full: '0 13 * * *', incremental: '*/5 * * * *' })
    setClock('2027-06-10T14:02:00Z')
    await seconds(5)
    await seconds(180)

    expect(it.ticks).toEqual(['full 14:02:05', 'incremental 14:02:05', 'incremental 14:05:00'])
    expect(it.said()).toEqual(['the clock was set', 'tick late', 'tick late'])
    expect(it.onClockSet).toHaveBeenCalledTimes(1)
  })

  test('by fifty years, as on a machine that wakes without a clock, brings one tick and not one a second', async () => {
    const it = await ticking({ incremental: '* * * * * *' })
    setClock('2077-06-10T12:00:00.500Z')
    await seconds(5)

    expect(it.ticks.length).toBeLessThan(8)
    expect(it.said()).toEqual(['the clock was set', 'tick late'])
  })
})

describe('a clock set back', () => {
  test('does not stop the schedule', async () => {
    const it = await ticking({ incremental: '*/5 * * * *' })
    await seconds(301)
    setClock('2027-06-10T10:02:00Z')
    await seconds(600)

    expect(it.ticks).toEqual(['incremental 12:05:00', 'incremental 10:05:00', 'incremental 10:10:00'])
    expect(it.said()).toEqual(['the clock was set'])
    expect(it.logged[0]?.jumpMs).toBeLessThan(-7_000_000)
    expect(it.nextAt()?.toISOString()).toBe('2027-06-10T10:15:00.000Z')
  })

  test('does not repeat a tick of the same day; the next day has its own', async () => {
    const it = await ticking({ full: '1 12 * * *' })
    await seconds(120)
    setClock('2027-06-10T11:00:00Z')
    await seconds(2 * 3_600)
    expect(it.ticks).toEqual(['full 12:01:00'])
    expect(it.said()).toEqual(['the clock was set', 'tick not repeated: the clock was set back'])

    await seconds(23 * 3_600 + 120)
    expect(it.ticks).toEqual(['full 12:01:00', 'full 12:01:00'])
  })

  test('by a year ticks again the next day', async () => {
    const it = await ticking({ full: '1 12 * * *' })
    await seconds(120)
    setClock('2026-06-10T12:02:00Z')
    await seconds(25 * 3_600)

    expect(it.ticks).toEqual(['full 12:01:00', 'full 12:01:00'])
  })

  test('by a fraction of a second, as clocks are mended, is no event', async () => {
    const it = await ticking({ incremental: '*/5 * * * *' })
    await seconds(300)
    setClock('2027-06-10T12:04:59.700Z')
    await seconds(301)

    expect(it.ticks).toEqual(['incremental 12:05:00', 'incremental 12:10:00'])
    expect(it.said()).not.toContain('the clock was set')
  })
})
