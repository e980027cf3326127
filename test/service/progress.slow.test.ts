import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openProgress } from '../../src/service/run-output.js'
import { startSimulator } from '../../src/simulator/server.js'
import type { Page } from '../../src/sync/page.js'
import { API_KEY, createFolder } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { startOnTerminal, toScreen } from '../support/terminal.js'

describe('the bar', () => {
  beforeEach(
    () =>
      void vi.useFakeTimers({
        toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'],
      }),
  )
  afterEach(() => void vi.useRealTimers())

  /** A bar on a terminal of 80 columns. */
  function opened() {
    let output = ''
    const write = (text: string) => {
      output += text
      return true
    }
    const stream = { isTTY: true, columns: 80, write } as NodeJS.WriteStream
    return {
      progress: openProgress(stream, { rest: () => null }),
      write,
      output: () => output,
      screen: () => toScreen(output, 80),
    }
  }

  const page = (number: number, totalPages: number, jobs = 50) =>
    ({ number, totalPages, jobs: { length: jobs } }) as unknown as Page

  test('shows pages, jobs, rate and time left', () => {
    const { progress, screen } = opened()
    progress.onPage(page(1, 40))
    vi.advanceTimersByTime(1_000)
    progress.onPage(page(2, 40))
    vi.advanceTimersByTime(1_000)

    expect(screen()).toEqual([expect.stringMatching(/^\S{20} page 2\/40, 100 jobs, 50\/s, \d+ s left$/)])
    progress.stop()
  })

  test('goes forward only, though the head is read again at the end', () => {
    const { progress, screen } = opened()
    for (const number of [1, 2, 3, 1]) {
      progress.onPage(page(number, 3))
      vi.advanceTimersByTime(1_000)
    }

    expect(screen()).toEqual([expect.stringMatching(/page 3\/3, 150 jobs/)])
    progress.stop()
  })

  test('counts a wait down, also before the first page, and says when it ends by the clock', () => {
    vi.setSystemTime('2026-03-01T20:30:00Z')
    const { progress, screen } = opened()

    progress.onWait({ reason: 'rate_limited', waitMs: 600_000 })
    vi.advanceTimersByTime(1_000)
    expect(screen()).toEqual([expect.stringMatching(/request budget: waiting until 20:40 UTC, 9 min 59 s$/)])
    vi.advanceTimersByTime(300_000)
    expect(screen()).toEqual([expect.stringMatching(/request budget: waiting until 20:40 UTC, 4 min 59 s$/)])
    progress.onPage(page(1, 2))
    vi.advanceTimersByTime(1_000)
    expect(screen()).toEqual([expect.stringMatching(/page 1\/2, 50 jobs, /)])
    progress.stop()
  })

  test('says when a load that waits will be done', () => {
    vi.setSystemTime('2026-03-01T20:30:00Z')
    const { progress, screen } = opened()

    progress.onPage(page(150, 400))
    progress.onWait({ reason: 'rate_limited', waitMs: 600_000 })
    progress.onLoadWait('37 %, waiting for the request budget until 20:40, done about 2 Mar 01:10 UTC')
    vi.advanceTimersByTime(1_000)
    expect(screen()).toEqual([
      expect.stringMatching(/^\S* ?37 %, waiting for the request budget until 20:40, done about 2 Mar 01:10 UTC$/),
    ])
    progress.onPage(page(151, 400))
    vi.advanceTimersByTime(1_000)
    expect(screen()).toEqual([expect.stringMatching(/page 151\/400, /)])
    progress.stop()
  })

  test('never takes more than its one line', () => {
    const { progress, output } = opened()
    for (let number = 1; number <= 20_000; number += 1) progress.onPage(page(number, 20_000, 50_000))
    progress.onWait({ reason: 'server_error', waitMs: 30_000 })
    vi.advanceTimersByTime(1_000)

    expect(toScreen(output(), 80)).toEqual([expect.stringMatching(/^.{70,79}$/)])
    progress.stop()
  })

  test('leaves log lines that came in between where they are', () => {
    const { progress, write, screen } = opened()
    progress.onPage(page(1, 2))
    write('\r\u001b[Ka warning\n    of two lines\n')
    vi.advanceTimersByTime(1_000)
    progress.onPage(page(2, 2))
    vi.advanceTimersByTime(1_000)
    progress.stop()
    write('Complete.\n')

    expect(screen()).toEqual(['a warning', '    of two lines', 'Complete.'])
  })

  test('a run without a page, such as a skipped one, shows nothing', () => {
    const { progress, output } = opened()

    progress.stop()

    expect(output()).toBe('')
  })
})

describe('on a real terminal', () => {
  test('`sync` draws a bar and leaves clean lines; --json draws none', async () => {
    await using database = await createCliDatabase()
    await using api = await startSimulator({ jobs: 700, key: API_KEY, latencyMs: 30, rateLimit: 'off' })
    const env = { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url }

    await using barred = await startOnTerminal(['sync'], { env })
    const { code, stdout } = await barred.ended
    await using plain = await startOnTerminal(['sync', '--json'], { env })
    const json = await plain.ended

    expect([code, json.code]).toEqual([0, 0])
    expect(stdout).toMatch(/page \d\/14/)
    expect(toScreen(stdout, 80)).toEqual([
      'Complete: the table holds all 700 jobs that the API lists.',
      expect.stringMatching(/^700 inserted, .*\d requests, [\d.]+ s$/),
    ])
    expect(json.stdout).toMatch(/^\{\P{Cc}*\}\r\n$/u)
  })

  test('`sync` says in one line that the key is refused, and in one that the database is embedded', async () => {
    await using api = await startSimulator({ jobs: 70, key: 'spd_another', rateLimit: 'off' })
    await using cli = await startOnTerminal(['sync'], { env: { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url } })

    const { code, stdout } = await cli.ended

    expect(code).toBe(1)
    const lines = toScreen(stdout, 80)
    expect(
      lines.filter((line) => /SPIDRA_API_KEY/.test(line)),
      stdout,
    ).toHaveLength(1)
    expect(
      lines.filter((line) => /no DATABASE_URL: using the embedded postgres/.test(line)),
      stdout,
    ).toHaveLength(1)
  })

  test('`demo --once` draws it between its lines', async () => {
    await using folder = await createFolder()
    await using cli = await startOnTerminal(['demo', '--once'], { cwd: folder.path, env: {} })

    const { code, stdout } = await cli.ended

    expect(code).toBe(0)
    expect(toScreen(stdout, 80).slice(0, 5)).toEqual([
      expect.stringMatching(/^A simulated Spidra account of 2,\d{3} jobs, and a real Postgres\. First run:$/),
      '',
      expect.stringMatching(/^Complete: the table holds all 2,\d{3} jobs that the API lists\.$/),
      expect.stringMatching(/^2,\d{3} inserted, /),
      '',
    ])
  })

  test('Ctrl-C leaves the terminal as it was', async () => {
    await using database = await createCliDatabase()
    await using api = await startSimulator({ jobs: 700, key: API_KEY, latencyMs: 100, rateLimit: 'off' })
    const env = { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url }
    await using cli = await startOnTerminal(['sync'], { env })
    await cli.says(/page 3\/14/)
    const [row] = await database.sql<{ worker: string }>('SELECT worker FROM spidra.sync_runs')

    process.kill(Number(row?.worker.split(':').at(-1)), 'SIGINT')

    const { stdout } = await cli.ended
    expect(toScreen(stdout, 80)).toEqual([
      'Aborted: The worker was asked to stop. The next run continues from there.',
      expect.stringMatching(/ requests?, /),
    ])
  })
})
