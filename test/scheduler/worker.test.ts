import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { createLogger } from '../../src/logging/logger.js'
import { startWorker, type WorkerOptions } from '../../src/scheduler/worker.js'
import type { RunMode, RunTrigger } from '../../src/sync/run-summary.js'

/** A Sunday. */
const START = new Date('2026-03-01T12:00:00.000Z')

beforeEach(() => void vi.useFakeTimers({ now: START }))
afterEach(() => void vi.useRealTimers())

/** A worker whose runs last until the test ends them. */
async function working(schedule: Partial<WorkerOptions['schedule']> = {}) {
  const runs: {
    readonly mode: RunMode
    readonly trigger: RunTrigger
    readonly signal: AbortSignal
    end(isFullLeft: boolean): void
    fail(error: Error): void
  }[] = []
  const logged: { level: string; msg: string }[] = []
  const nextRuns: (string | undefined)[] = []
  const worker = startWorker({
    schedule: { sync: '*/10 * * * * *', fullSync: null, timezone: 'Etc/UTC', onStart: false, ...schedule },
    timing: TIMING,
    run: (mode, trigger, signal) =>
      new Promise((resolve, reject) => void runs.push({ mode, trigger, signal, end: resolve, fail: reject })),
    onNextRun: (at) => void nextRuns.push(at?.toISOString()),
    log: await createLogger({
      ...{ level: 'debug', format: 'json', secrets: [] },
      destination: { write: (line) => void logged.push(JSON.parse(line)) },
    }),
  })
  return {
    ...{ worker, runs, logged, nextRuns },
    /** Ends the run under way, by default as a run of the mode that it began with, and lets the worker notice. */
    async end({ isFullLeft = runs.at(-1)?.mode !== 'full' } = {}) {
      runs.at(-1)?.end(isFullLeft)
      await vi.advanceTimersByTimeAsync(0)
    },
    async fail(error: Error) {
      runs.at(-1)?.fail(error)
      await vi.advanceTimersByTimeAsync(0)
    },
    [Symbol.asyncDispose]: async () => {
      for (const run of runs) run.end(false)
      await worker.stop()
    },
  }
}

const seconds = (count: number) => vi.advanceTimersByTimeAsync(count * 1_000)

describe('runs', () => {
  test('begin at the start if so configured, and at every tick', async () => {
    await using it = await working({ onStart: true })
    await it.end()
    await seconds(10)

    expect(it.runs).toMatchObject([
      { mode: 'incremental', trigger: 'startup' },
      { mode: 'incremental', trigger: 'schedule' },
    ])
  })

  test('never overlap: a tick during a run is skipped', async () => {
    await using it = await working()

    await seconds(35)

    expect(it.runs).toHaveLength(1)
    expect(it.logged.map(({ msg }) => msg)).toContain('tick skipped: a run is under way')
    await it.end()
    expect(it.runs).toHaveLength(1)
    await seconds(5)
    expect(it.runs).toHaveLength(2)
  })

  test('a full run that was due during a run follows it, once', async () => {
    await using it = await working({ fullSync: '*/15 * * * * *' })
    await seconds(31) // ticks: incremental at 10, 20, 30; full at 15, 30

    expect(it.runs).toMatchObject([{ mode: 'incremental' }])
    await it.end()
    expect(it.runs).toMatchObject([{ mode: 'incremental' }, { mode: 'full', trigger: 'schedule' }])
    await it.end()
    expect(it.runs).toHaveLength(2)
  })

  test('a full run that was due during a run that turned out to be full does not follow it', async () => {
    await using it = await working({ fullSync: '*/15 * * * * *' })
    await seconds(31)

    await it.end({ isFullLeft: false })

    expect(it.runs).toHaveLength(1)
    await seconds(9) // 12:00:40, an incremental tick
    expect(it.runs).toMatchObject([{ mode: 'incremental' }, { mode: 'incremental' }])
  })

  test('a full run that another process kept from beginning is tried again at the next tick, and not before', async () => {
    await using it = await working({ fullSync: '*/15 * * * * *' })
    await seconds(10)
    await it.end()
    await seconds(5)

    await it.end({ isFullLeft: true })

    expect(it.runs).toMatchObject([{ mode: 'incremental' }, { mode: 'full' }])
    await seconds(5)
    expect(it.runs).toMatchObject([{ mode: 'incremental' }, { mode: 'full' }, { mode: 'full' }])
    await it.end()
    await seconds(1)
    expect(it.runs).toHaveLength(3)
  })

  test('where both are due in the same second, the full one does the work of both', async () => {
    await using it = await working({ fullSync: '*/10 * * * * *' })

    await seconds(10)
    await it.end()

    expect(it.runs).toMatchObject([{ mode: 'full' }])
  })

  test('a failed run is logged once and never stops the schedule', async () => {
    await using it = await working()
    await seconds(10)
    await it.fail(new Error('the database is away'))
    await seconds(10)

    expect(it.runs).toHaveLength(2)
    expect(it.logged.filter(({ level }) => level === 'error')).toMatchObject([
      { msg: 'run failed', err: { message: 'the database is away' } },
    ])
  })
})

describe('stop', () => {
  test('aborts the run under way and waits for its end', async () => {
    const it = await working({ onStart: true })
    const onStopped = vi.fn()

    const stopping = it.worker.stop().then(onStopped)
    await seconds(30)

    expect(it.runs).toHaveLength(1)
    expect(it.runs[0]?.signal.aborted).toBe(true)
    expect(onStopped).not.toHaveBeenCalled()
    await it.end()
    await stopping
  })

  test('starts nothing afterwards, not even a full run that was due', async () => {
    const it = await working({ onStart: true, fullSync: '*/10 * * * * *' })
    await seconds(10)

    const stopping = it.worker.stop()
    await it.end()
    await stopping
    await seconds(60)

    expect(it.runs).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('does not wait when idle', async () => {
    const it = await working()

    await it.worker.stop()

    expect(it.runs).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('the next run', () => {
  test('is reported at the start and after every run', async () => {
    await using it = await working({ sync: '0 */5 * * * *', onStart: true })
    expect(it.nextRuns).toEqual(['2026-03-01T12:05:00.000Z'])

    await seconds(6 * 60)
    await it.end()

    expect(it.nextRuns).toEqual(['2026-03-01T12:05:00.000Z', '2026-03-01T12:10:00.000Z'])
  })

  test('is the earlier of both schedules; there is none without', async () => {
    await using both = await working({ sync: '0 3 * * *', fullSync: '30 12 * * *' })
    await using none = await working({ sync: null })

    expect(both.nextRuns).toEqual(['2026-03-01T12:30:00.000Z'])
    expect(none.nextRuns).toEqual([undefined])
    expect(none.worker.intervalMs).toBeNull()
  })

  test('follows the time zone, also after clocks have changed', async () => {
    await using summer = await working({ sync: '30 2 * * *', timezone: 'Europe/Berlin' })
    await using far = await working({ sync: '0 9 * * 1', timezone: 'Asia/Kathmandu' })

    expect(summer.nextRuns).toEqual(['2026-03-02T01:30:00.000Z'])
    expect(far.nextRuns).toEqual(['2026-03-02T03:15:00.000Z'])
    vi.setSystemTime(new Date('2026-03-30T00:00:00Z')) // clocks went forward on the 29th
    await using later = await working({ sync: '30 2 * * *', timezone: 'Europe/Berlin' })
    expect(later.nextRuns).toEqual(['2026-03-30T00:30:00.000Z'])
  })

  test('the interval is that of the more frequent schedule', async () => {
    await using it = await working({ sync: '*/5 * * * *', fullSync: '0 3 * * *' })

    expect(it.worker.intervalMs).toBe(300_000)
  })
})
