import { expect, test } from 'vitest'
import { createMetrics } from '../../src/http/metrics.js'
import type { RunSummary } from '../../src/sync/run-summary.js'

const SUMMARY: RunSummary = {
  status: 'complete',
  mode: 'full',
  account: 'default',
  runId: '1',
  reason: null,
  requests: 3,
  retries: 1,
  pagesRead: 2,
  jobsRead: 60,
  inserted: 10,
  updated: 20,
  unchanged: 30,
  removed: 4,
  restored: 5,
  rejected: 6,
  openUnread: 0,
  listedTotal: 66,
  storedTotal: 66,
  waitedMs: 1500,
  durationMs: 4000,
}

/** The metrics, and the value of a sample by its exact name and labels; undefined when there is no such series. */
function observed(accounts: readonly string[] = ['default']) {
  const metrics = createMetrics({ version: '1.2.3', accounts })
  const sample = async (series: string) => {
    const line = (await metrics.read()).split('\n').find((candidate) => candidate.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length))
  }
  return { metrics, sample }
}

test('every name begins with spidra_sync_', async () => {
  const text = await observed().metrics.read()
  const names = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))

  expect(names.filter((line) => !line.startsWith('spidra_sync_'))).toEqual([])
  expect(names.length).toBeGreaterThan(50)
})

test('counters are 0 before the first event', async () => {
  const { sample } = observed()

  expect(await sample('spidra_sync_runs_total{account="default",mode="incremental",status="failed"}')).toBe(0)
  expect(await sample('spidra_sync_rows_total{account="default",outcome="rejected"}')).toBe(0)
  expect(await sample('spidra_sync_requests_total{account="default",outcome="rate_limited"}')).toBe(0)
  expect(await sample('spidra_sync_retries_total{account="default"}')).toBe(0)
  expect(await sample('spidra_sync_request_duration_seconds_count{account="default"}')).toBe(0)
  expect(await sample('spidra_sync_waited_seconds_total{account="default"}')).toBe(0)
  expect(await sample('spidra_sync_run_duration_seconds_count{account="default",mode="full"}')).toBe(0)
  expect(await sample('spidra_sync_last_complete_timestamp_seconds{account="default"}')).toBe(0)
  expect(await sample('spidra_sync_build_info{version="1.2.3"}')).toBe(1)
  expect(await sample('spidra_sync_listed_jobs{account="default"}')).toBeUndefined()
})

test('a complete run is counted, and sets neither totals nor freshness, which come from the database', async () => {
  const { metrics, sample } = observed()

  metrics.runStarted('default')
  expect(await sample('spidra_sync_run_in_progress{account="default"}')).toBe(1)
  metrics.observeRun(SUMMARY)

  expect(await sample('spidra_sync_run_in_progress{account="default"}')).toBe(0)
  expect(await sample('spidra_sync_runs_total{account="default",mode="full",status="complete"}')).toBe(1)
  expect(await sample('spidra_sync_rows_total{account="default",outcome="inserted"}')).toBe(10)
  expect(await sample('spidra_sync_rows_total{account="default",outcome="restored"}')).toBe(5)
  expect(await sample('spidra_sync_waited_seconds_total{account="default"}')).toBe(1.5)
  expect(await sample('spidra_sync_run_duration_seconds_sum{account="default",mode="full"}')).toBe(4)
  expect(await sample('spidra_sync_listed_jobs{account="default"}')).toBeUndefined()
  expect(await sample('spidra_sync_last_complete_timestamp_seconds{account="default"}')).toBe(0)
})

test('restore shows the stored values, also when the time of the last complete run is no longer known', async () => {
  const { metrics, sample } = observed()

  metrics.restore('default', {
    lastCompleteAt: new Date(5000),
    rereadSince: new Date(4000),
    listedTotal: 7,
    storedTotal: 9,
    openRejections: 2,
  })

  expect(await sample('spidra_sync_last_complete_timestamp_seconds{account="default"}')).toBe(5)
  expect(await sample('spidra_sync_reread_since_timestamp_seconds{account="default"}')).toBe(4)
  expect(await sample('spidra_sync_listed_jobs{account="default"}')).toBe(7)
  expect(await sample('spidra_sync_stored_jobs{account="default"}')).toBe(9)
  expect(await sample('spidra_sync_open_rejections{account="default"}')).toBe(2)

  metrics.restore('default', {
    ...{ lastCompleteAt: null, rereadSince: null, listedTotal: null, storedTotal: null, openRejections: 0 },
  })

  expect(await sample('spidra_sync_last_complete_timestamp_seconds{account="default"}')).toBe(0)
  expect(await sample('spidra_sync_reread_since_timestamp_seconds{account="default"}')).toBe(0)
})

test('a skipped run is counted, and has no duration', async () => {
  const { metrics, sample } = observed()

  metrics.observeRun({ ...SUMMARY, status: 'skipped' })

  expect(await sample('spidra_sync_runs_total{account="default",mode="full",status="skipped"}')).toBe(1)
  expect(await sample('spidra_sync_run_duration_seconds_count{account="default",mode="full"}')).toBe(0)
  expect(await sample('spidra_sync_rows_total{account="default",outcome="inserted"}')).toBe(0)
})

test('requests are counted by account and outcome, and retries separately', async () => {
  const { metrics, sample } = observed(['one', 'two'])

  metrics.observeRequest({ account: 'one', outcome: 'server_error', retry: false, durationMs: 100 })
  metrics.observeRequest({ account: 'one', outcome: 'ok', retry: true, durationMs: 200 })

  expect(await sample('spidra_sync_requests_total{account="one",outcome="server_error"}')).toBe(1)
  expect(await sample('spidra_sync_requests_total{account="one",outcome="ok"}')).toBe(1)
  expect(await sample('spidra_sync_requests_total{account="two",outcome="ok"}')).toBe(0)
  expect(await sample('spidra_sync_retries_total{account="one"}')).toBe(1)
  expect(await sample('spidra_sync_retries_total{account="two"}')).toBe(0)
  expect(await sample('spidra_sync_request_duration_seconds_count{account="one"}')).toBe(2)
})

test('an account that is added later has its counters at 0, and a known one keeps its values', async () => {
  const { metrics, sample } = observed(['old'])
  const failed = (account: string) => `spidra_sync_runs_total{account="${account}",mode="full",status="failed"}`
  expect(await sample(failed('new'))).toBeUndefined()
  metrics.runStarted('old')

  metrics.addAccount('new')
  metrics.addAccount('old')

  expect(await sample(failed('new'))).toBe(0)
  expect(await sample('spidra_sync_requests_total{account="new",outcome="ok"}')).toBe(0)
  expect(await sample('spidra_sync_run_in_progress{account="old"}')).toBe(1)
})

test('two metrics in one process do not share their series', async () => {
  const [one, other] = [observed(), observed()]

  one.metrics.observeRun(SUMMARY)

  expect(await other.sample('spidra_sync_runs_total{account="default",mode="full",status="complete"}')).toBe(0)
})

test('a removed account has no freshness gauge, which would raise alerts for ever', async () => {
  const { metrics, sample } = observed(['old', 'stays'])
  const lastComplete = (account: string) => `spidra_sync_last_complete_timestamp_seconds{account="${account}"}`
  const totals = {
    ...{ lastCompleteAt: new Date(5000), rereadSince: null, listedTotal: 7, storedTotal: 7, openRejections: 1 },
  }
  for (const account of ['old', 'stays']) metrics.restore(account, totals)

  metrics.forgetAccount('old')
  // Its last run ends after that.
  metrics.observeRun({ ...SUMMARY, account: 'old' })

  expect(await sample(lastComplete('old'))).toBeUndefined()
  expect(await sample('spidra_sync_listed_jobs{account="old"}')).toBeUndefined()
  expect(await sample('spidra_sync_open_rejections{account="old"}')).toBeUndefined()
  expect(await sample(lastComplete('stays'))).toBe(5)
})
