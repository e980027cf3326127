import { describe, expect, test } from 'vitest'
import type { FreshnessRow } from '../../bench/freshness/freshness.js'
import type { Ages } from '../../bench/freshness/watch.js'
import { toFailures, toMarkdown } from '../../bench/report/document.js'
import { jobsPerSecond, median, medianOf, repeatedRequests } from '../../bench/report/figures.js'
import { faultsOf, toGoals } from '../../bench/report/goals.js'
import { toGrowthChart } from '../../bench/report/growth-chart.js'
import { toHeadline } from '../../bench/report/headline.js'
import { NO_RESULTS, type Results } from '../../bench/results.js'
import type { Row } from '../../bench/run.js'
import { AGAIN, FIRST, KILLED, STEADY, UNCHANGED } from '../../bench/workloads.js'
import { freshnessRow, row } from './measurements.js'

const SIZES = { small: 10_000, large: 100_000, huge: 1_000_000 }
const dlt = { subject: 'dlt', role: 'peer' } as const
const byRow = { subject: 'row by row', role: 'script', jobs: 10_000 } as const
const fetchLimit = { subject: 'limit: fetch', role: 'limit' } as const
const copyLimit = { subject: 'limit: COPY', role: 'limit' } as const

/** Measurements that meet all targets; those with a bound are met exactly. */
const GOOD: readonly Row[] = [
  row({}, { seconds: 1 }),
  row({ step: UNCHANGED }, { seconds: 1 }),
  row({ step: STEADY }, { seconds: 0.5, startUpMs: 599 }),
  row({ jobs: 1_000_000 }, { peakRssBytes: 219e6, serverCpuSeconds: 2, clientCpuSeconds: 19.9, walBytes: 1300 }),
  row({ ...byRow }, { seconds: 6 }),
  row({ ...dlt }, { seconds: 10 }),
  row({ ...dlt, step: UNCHANGED }, { seconds: 10 }),
  row({ ...fetchLimit, jobs: 1_000_000 }, { truth: null, serverCpuSeconds: 0 }),
  row({ ...copyLimit, jobs: 1_000_000 }, { serverCpuSeconds: 1, walBytes: 1000 }),
  row({ kind: 'churn', jobs: 10_000 }, {}, {}),
  row({ kind: 'kill', jobs: 10_000, step: KILLED }, { code: null, requests: 100 }),
  row({ kind: 'kill', jobs: 10_000, step: AGAIN }, { requests: 121 }),
]
const WRONG = { listed: 9, missing: 1, stale: 0, extra: 0 }

const of = (...rows: readonly Row[]) => ({ ...NO_RESULTS, rows })
const GOOD_RESULTS = { ...of(...GOOD), freshness: [freshnessRow({}), freshnessRow({ isShared: true })] }
const verdicts = (results: Results) => toGoals(results, SIZES).map(({ isMet }) => isMet)
const missed = (...rows: Row[]) =>
  toGoals({ ...GOOD_RESULTS, rows: [...rows, ...GOOD] }, SIZES)
    .filter(({ isMet }) => isMet === false)
    .map(({ text, figure }) => `${text}: ${figure}`)

describe('figures', () => {
  test('the median is the middle value, or the mean of the middle two, of the known values', () => {
    expect(medianOf([5, 1, 3])).toBe(3)
    expect(medianOf([4, null, 1, 2, 100])).toBe(3)
    expect(medianOf([null])).toBeNull()
  })

  test('failed rounds do not count in a figure', () => {
    const one = row({ jobs: 1000 }, { seconds: 2 }, { seconds: 0.01, code: 1 }, { seconds: 4 })

    expect(median(one, ({ seconds }) => seconds)).toBe(3)
    expect(jobsPerSecond(row({ jobs: 1000 }, { seconds: 0.5 }))).toBe(2000)
    expect(jobsPerSecond(row({}, { code: 1 }))).toBeNull()
  })

  test('repeated requests are those of both runs minus the pages of the list', () => {
    const rows = [
      row({ kind: 'kill', jobs: 10_000, step: KILLED }, { code: null, requests: 101 }, { code: null, requests: 104 }),
      row({ kind: 'kill', jobs: 10_000, step: AGAIN }, { requests: 200 }, { requests: 110 }),
    ]

    expect(repeatedRequests(rows, 'ours', 10_000)).toEqual([101, 14])
  })

  test('a round that ended before the kill, or failed after it, gives no repeated requests', () => {
    const rows = [
      row({ kind: 'kill', jobs: 10_000, step: KILLED }, { code: 0, requests: 200 }, { code: null, requests: 100 }),
      row({ kind: 'kill', jobs: 10_000, step: AGAIN }, { requests: 200 }, { code: 1, requests: 3 }),
    ]

    expect(repeatedRequests(rows, 'ours', 10_000)).toEqual([])
  })
})

describe('targets', () => {
  test('are met when each bound is kept exactly', () => {
    expect(verdicts(GOOD_RESULTS)).toEqual(Array.from({ length: 17 }, () => true))
  })

  test('are neither met nor missed when nothing was measured', () => {
    expect(verdicts(NO_RESULTS)).toEqual(Array.from({ length: 17 }, () => null))
    expect(toGoals(NO_RESULTS, SIZES)[0]?.figure).toBe('not measured')
  })

  test('are judged by the worst round where the target is a bound for safety', () => {
    const kill = { kind: 'kill', jobs: 100_000 } as const

    expect(missed(row({ jobs: 1000, step: STEADY }, {}, {}, { tableWalBytes: 8000, requests: 2 }))).toEqual([
      expect.stringContaining('8,000 bytes'),
      expect.stringMatching(/steady run: 1: 2$/),
    ])
    expect(missed(row({ kind: 'churn' }, {}, {}, { truth: { listed: 9, missing: 1, stale: 1, extra: 5 } }))).toEqual([
      expect.stringMatching(/churn: 0: 2$/),
    ])
    expect(
      missed(
        row({ ...kill, step: KILLED }, { code: null, requests: 1000 }, { code: null, requests: 1000 }),
        row({ ...kill, step: AGAIN }, { requests: 1022 }, { requests: 1003 }),
      ),
    ).toEqual([expect.stringMatching(/: 22$/)])
  })

  test('are judged by the median where the target is about cost', () => {
    const costly = { serverCpuSeconds: 2.01, clientCpuSeconds: 20, walBytes: 1301 }

    expect(
      missed(row({ jobs: 1_000_000 }, { ...costly, peakRssBytes: 261e6 }, {}, { ...costly, peakRssBytes: 261e6 })),
    ).toEqual([
      expect.stringMatching(/server CPU at most twice .*: 2.01 times$/),
      expect.stringMatching(/WAL at most 1.3 times .*: 1.30 times$/),
      expect.stringMatching(/client CPU under 20 us a job: 20.0 us$/),
      expect.stringContaining('261 MB'),
      expect.stringContaining('1.30 times'),
    ])
  })

  test('compare an incremental run with the fastest alternative, each at its largest list', () => {
    const singer = { subject: 'Singer', role: 'peer', step: UNCHANGED } as const

    expect(missed(row({ ...singer, jobs: 10_000 }, { seconds: 0.01 }), row({ ...singer }, { seconds: 9.9 }))).toEqual([
      expect.stringMatching(/best peer: 19.8 times \(Singer at 100,000 jobs: 10,101 jobs\/s\)$/),
    ])
  })

  test('hold the default schedule to two intervals, by the worst of its lists', () => {
    const ages = (most: number, p99: number) => ({
      ages: { ...freshnessRow({}).ages, worst: { median: most, most }, open: { median: 1, p99 } } as Ages,
    })
    const goals = toGoals(
      {
        ...NO_RESULTS,
        freshness: [
          freshnessRow({}, ages(10, 10)),
          freshnessRow({ isShared: true }, { ...ages(10.1, 10.1), requestsADay: 14_401, refusedADay: 1 }),
          freshnessRow({}, { subject: 'ours, every minute', ...ages(99, 99), truth: WRONG }),
        ],
      },
      SIZES,
    )

    expect(goals.slice(0, 6).map(({ figure, isMet }) => [figure, isMet])).toEqual([
      ['10.0 min', true],
      ['10.1 min', false],
      ['10.1 min', false],
      ['14,401', false],
      ['1', false],
      ['1', false],
    ])
  })
})

describe('report', () => {
  test('marks a subject with a smaller list, and compares it with spidra-sync at that size', () => {
    const headline = toHeadline([...GOOD, row({ jobs: 10_000 }, { seconds: 0.5 })], SIZES)

    expect(headline).toContain('| row by row \\* | 10,000 | 1,667 | 12.0 |')
    expect(headline).toContain('| dlt | 100,000 | 10,000 | 10.0 | 10,000 | 10.0 |')
  })

  test('shows a failure with its exit code and its last line of output', () => {
    const rows = [row({ ...dlt, workload: 'w' }, {}, { code: 3, output: 'Traceback\n  File `x`\nHTTPError: 429\n\n' })]

    expect(toFailures(rows)).toContain('- dlt, w, first load: ended with 3 in 1 of 2 rounds: `HTTPError: 429`')
    const report = toMarkdown(of(...rows), {
      facts: ['a fact'],
      skipped: ['Singer: no pip'],
      sizes: SIZES,
      chart: null,
    })
    expect(report).toContain('| dlt, **failed in 1 of 2 rounds** |')
    expect(report).toContain('- a fact\n- Not run: Singer: no pip\n')
    expect(toFailures(GOOD)).toBe('')
  })

  test('draws a chart on a white ground once two sizes were measured', () => {
    expect(toGrowthChart(GOOD.filter(({ jobs }) => jobs === 100_000))).toBeNull()
    const svg = toGrowthChart([...GOOD])
    expect(svg).toMatch(/^<svg width="880" height="640"/)
    expect(svg).toContain('fill="#ffffff"')
    for (const text of ['Time, seconds', 'Requests', 'WAL, MB', 'first load', '1M']) expect(svg).toContain(`>${text}<`)
  })
})

describe('correctness', () => {
  test('checks spidra-sync only, and finds no error in a good run', () => {
    const other = row({ ...dlt }, { code: 1, truth: { listed: 9, missing: 1, stale: 0, extra: 0 } })

    expect(faultsOf({ ...GOOD_RESULTS, rows: [...GOOD, other] })).toEqual([])
  })

  test.each<[string, Row]>([
    ['ended with 3', row({}, { code: 3 })],
    ['ended with a signal', row({}, { code: null })],
    ['holds other jobs', row({ kind: 'churn' }, { truth: { listed: 9, missing: 0, stale: 0, extra: 1 } })],
    ['could not be compared', row({}, { truth: null })],
    ['wrote 40 bytes', row({ step: UNCHANGED }, { tableWalBytes: 40 })],
    ['wrote an unknown number of bytes', row({ step: STEADY }, { tableWalBytes: null })],
    ['made 2 requests', row({ step: STEADY }, { requests: 2 })],
    ['ended with 0', row({ kind: 'kill', step: KILLED }, { code: 0 })],
  ])('reports the error: %s', (text, bad) => {
    expect(faultsOf(of(bad))).toEqual([expect.stringContaining(text)])
  })

  test.each<[string, Partial<FreshnessRow>]>([
    ['did not load the list', { ages: null, truth: null }],
    ['holds other jobs', { truth: WRONG }],
    ['got 4 answers 429 a day', { refusedADay: 4 }],
    ['failed in 1 runs: Error: no', { failedRuns: 1, failure: 'Error: no' }],
    ['had rows 60.1 minutes old', { ages: { ...freshnessRow({}).ages, worst: { median: 60.1, most: 61 } } as Ages }],
  ])('reports the error under the limit: %s', (text, bad) => {
    const other = freshnessRow({}, { ...bad, role: 'peer' })

    expect(
      faultsOf({ ...NO_RESULTS, freshness: [freshnessRow({}), other, freshnessRow({ jobs: 1_000 }, bad)] }),
    ).toEqual([expect.stringContaining(text)])
  })

  test('excuses stale rows of a list that is too long to be swept, and no missing ones', () => {
    const stale = { listed: 9, missing: 0, stale: 1, extra: 0 }
    const faults = (jobs: number, truth: typeof stale) =>
      faultsOf({ ...NO_RESULTS, freshness: [freshnessRow({ jobs }, { truth })] }).length

    expect([faults(1_000, stale), faults(1_001, stale), faults(1_001, WRONG)]).toEqual([1, 0, 1])
  })

  test('reports more than twenty repeated requests', () => {
    const kill = { kind: 'kill', jobs: 10_000, step: KILLED } as const
    const rows = (requests: number) => [
      row({ ...kill }, { code: null, requests: 100 }),
      row({ ...kill, step: AGAIN }, { requests }),
    ]

    expect(faultsOf(of(...rows(121)))).toEqual([])
    expect(faultsOf(of(...rows(122)))).toEqual([expect.stringContaining('repeated 22 requests')])
    expect(faultsOf(of(row({ step: FIRST }, {})))).toEqual([])
  })
})
