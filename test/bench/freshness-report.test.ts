import { describe, expect, test } from 'vitest'
import { NEVER } from '../../bench/freshness/freshness.js'
import { toFreshness, toFreshnessHeadline } from '../../bench/report/freshness.js'
import { toQuoted } from '../../bench/report/quoted.js'
import { toStanding } from '../../bench/report/tables.js'
import { combine, NO_RESULTS } from '../../bench/results.js'
import { FIRST, STEADY } from '../../bench/workloads.js'
import { freshnessRow, row, standingRow } from './measurements.js'

const dlt = { subject: 'dlt', role: 'peer', remedy: 'more attempts' } as const

describe('the report of freshness', () => {
  test('has a table for each workload, with ages in minutes and rates for a day', () => {
    const report = toFreshness({ freshness: [freshnessRow({})], installed: [] })

    expect(report).toContain('### fresh\n\nHours sampled: 6.\n')
    expect(report).toContain('| ours | 0.8 | 5.0 | 7.5 | 2.0 | 5.0 | 0.0 | 0.0 | 1,500 | 0 | 75 | 0 | 0 | 12.0 |')
  })

  test('says what happened to an alternative as installed, and with what it was measured', () => {
    const ended = {
      workload: freshnessRow({}).workload,
      runs: 3,
      failedRuns: 3,
      refusedRuns: 3,
      failure: 'Error: no\n',
    }
    const report = toFreshness({
      freshness: [
        freshnessRow({}),
        ...['dlt', 'Singer', 'script'].map((subject) => freshnessRow({}, { ...dlt, ...NEVER, subject })),
      ],
      installed: [
        { ...ended, subject: 'dlt' },
        { ...ended, subject: 'Singer', refusedRuns: 2 },
        { ...ended, subject: 'script', failedRuns: 0, refusedRuns: 0, failure: null },
      ],
    })

    expect(report).toContain('| dlt | - | - | - | - | - | - | - | - | - | 75 | 0 | - | - |')
    expect(report).toContain('- dlt: as installed, 3 of 3 runs ended with 429; measured with more attempts.')
    expect(report).toContain('- Singer: as installed, 3 of 3 runs failed (`Error: no`); measured with more attempts.')
    expect(report).toContain('- script: as installed, none of 3 runs failed; measured with more attempts.')
  })

  test('shows in one line of the headline the whole limit and half of it', () => {
    const worst = { median: 8.04, most: 20 }
    const { ages } = freshnessRow({})
    const headline = toFreshnessHeadline({
      freshness: [
        freshnessRow({}),
        freshnessRow({ isShared: true }, { ages: ages && { ...ages, worst }, requestsADay: 1_400, refusedADay: 0 }),
        freshnessRow({}, { ...dlt, ...NEVER }),
      ],
    })

    expect(headline).toContain('| **ours** | 20,000 | 5.0 / 7.5 | 5.0 | 8.0 / 20.0 | 5.0 | 1,500 / 1,400 | 0 | 0 | 0 |')
    expect(headline).toContain('| dlt | 20,000 | - / - | - | - / - | - | - | - | 0 | - |')
  })
})

test('the report of a day without changes says what was measured and what was computed', () => {
  const report = toStanding([
    standingRow({}),
    standingRow({ subject: 'dlt', role: 'peer', runs: 6, requests: 115_200 }),
  ])

  expect(report).toContain('20,000 jobs, and 288 runs')
  expect(report).toContain('| ours | 289 | 0 | 12.5 | 4.0 | 14.0 | 690 |')
  expect(report).toContain('| dlt | 6 | 0 | 12.5 | 4.0 | 14.0 | 115,200 |')
})

describe('quoted figures', () => {
  const sizes = { small: 10_000, large: 100_000, huge: 1_000_000 }

  test('have two digits and a unit', () => {
    const rows = [
      row({ jobs: 10_000, step: STEADY }, { startUpMs: 276 }),
      row({ jobs: 100_000, step: STEADY }, { seconds: 0.387, walBytes: 54_400 }),
      row({ jobs: 1_000_000 }, { seconds: 33.1, walBytes: 405_292_000 }),
    ]
    const quoted = toQuoted({ ...NO_RESULTS, rows }, { facts: ['a fact', 'another'], sizes })

    expect(quoted).toMatchObject({
      facts: '- a fact\n- another',
      'steady-run': '0.39 s',
      'start-up': '0.28 s',
      'wal-of-a-job': '405 bytes',
      'steady-wal': '1 to 54 kB',
    })
    expect(quoted['speed-and-size']).toContain('| 1,000,000 | 33 s | - | - | - | 200 MB | 405 MB |')
  })

  test('name a range once where its ends are equal', () => {
    const rows = [row({ step: STEADY }, { walBytes: 34_100 }), row({ jobs: 1_000, step: STEADY }, { walBytes: 34_400 })]

    expect(toQuoted({ ...NO_RESULTS, rows }, { facts: [], sizes })['steady-wal']).toBe('34 kB')
  })

  test('are left out when they were not measured', () => {
    expect(Object.keys(toQuoted(NO_RESULTS, { facts: [], sizes }))).toEqual(['facts'])
  })
})

test('results of an earlier benchmark stay for the workloads that were not measured again', () => {
  const earlier = {
    ...NO_RESULTS,
    rows: [row({ workload: 'a', step: FIRST }), row({ workload: 'b' })],
    freshness: [freshnessRow({})],
  }
  const now = { ...NO_RESULTS, rows: [row({ workload: 'b', step: STEADY })] }
  const { rows, freshness } = combine(now, earlier, ['fresh', 'b', 'a'], ['b'])

  expect(rows.map(({ workload, step }) => [workload, step])).toEqual([
    ['b', STEADY],
    ['a', FIRST],
  ])
  expect(freshness).toHaveLength(1)
})
