import { expect, test } from 'vitest'
import { createMetrics } from '../../src/http/metrics.js'
import type { LoadProgress } from '../../src/report/load-progress.js'
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

const TOTALS = {
  lastCompleteAt: new Date(5000),
  rereadSince: new Date(4000),
  listedTotal: 7,
  storedTotal: 9,
  openRejections: 2,
  stuckJobs: 3,
  firingAlerts: ['stale', 'a kind of an older version'],
  requestLimit: 300,
  requestsLeft: 150,
}

/** The metrics, and the value of a sample by its exact name and labels; undefined when there is no such series. */
function observed(accounts: readonly string[] = ['default'], hasAccounts = true) {
  const metrics = createMetrics({ version: '1.2.3', accounts })
  const sample = async (series: string) => {
    const line = (await metrics.read({ hasAccounts }))
      .split('\n')
      .find((candidate) => candidate.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length))
  }
  return { metrics, sample }
}

test('our names begin with spidra_sync_, and those about the process are the usual ones', async () => {
  const text = await observed().metrics.read({ hasAccounts: true })
  const names = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))

  expect(names.filter((line) => !/^(spidra_sync|process|nodejs)_/.test(line))).toEqual([])
  expect(names.filter((line) => line.startsWith('spidra_sync_')).length).toBeGreaterThan(50)
  expect(text).toMatch(/^process_resident_memory_bytes \d+$/m)
  expect(text).toMatch(/^nodejs_heap_size_used_bytes \d+$/m)
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

  metrics.restore('default', TOTALS)

  expect(await sample('spidra_sync_last_complete_timestamp_seconds{account="default"}')).toBe(5)
  expect(await sample('spidra_sync_reread_since_timestamp_seconds{account="default"}')).toBe(4)
  expect(await sample('spidra_sync_listed_jobs{account="default"}')).toBe(7)
  expect(await sample('spidra_sync_stored_jobs{account="default"}')).toBe(9)
  expect(await sample('spidra_sync_open_rejections{account="default"}')).toBe(2)
  expect(await sample('spidra_sync_stuck_jobs{account="default"}')).toBe(3)
  expect(await sample('spidra_sync_firing_alerts{account="default",kind="stale"}')).toBe(1)
  expect(await sample('spidra_sync_firing_alerts{account="default",kind="run_partial"}')).toBe(0)
  expect(await sample('spidra_sync_request_limit{account="default"}')).toBe(300)
  expect(await sample('spidra_sync_requests_left{account="default"}')).toBe(150)

  metrics.restore('default', {
    ...{ lastCompleteAt: null, rereadSince: null, listedTotal: null, storedTotal: null, openRejections: 0 },
    ...{ stuckJobs: 0, firingAlerts: [], requestLimit: null, requestsLeft: null },
  })

  expect(await sample('spidra_sync_last_complete_timestamp_seconds{account="default"}')).toBe(0)
  expect(await sample('spidra_sync_reread_since_timestamp_seconds{account="default"}')).toBe(0)
  expect(await sample('spidra_sync_listed_jobs{account="default"}')).toBeUndefined()
  expect(await sample('spidra_sync_firing_alerts{account="default",kind="stale"}')).toBe(0)
  expect(await sample('spidra_sync_requests_left{account="default"}')).toBeUndefined()
})

test('a first load has its series while it is unfinished, and its end while that is known', async () => {
  const { metrics, sample } = observed()
  const progress: LoadProgress = {
    ...{ asOf: '2026-03-01T12:00:00Z', kind: 'first_load', doneJobs: 5_000, listedJobs: 20_000, percent: 25 },
    ...{ isRunning: true, waitsFor: null, waitsUntil: null, doneAt: '1970-01-01T00:01:40Z' },
  }
  const firstLoad = () =>
    Promise.all(
      ['stored_jobs', 'listed_jobs', 'end_timestamp_seconds'].map((name) =>
        sample(`spidra_sync_first_load_${name}{account="default"}`),
      ),
    )

  metrics.showFirstLoad('default', progress)
  expect(await firstLoad()).toEqual([5_000, 20_000, 100])
  metrics.showFirstLoad('default', { ...progress, doneAt: null })
  expect(await firstLoad()).toEqual([5_000, 20_000, undefined])
  metrics.showFirstLoad('default', null)
  expect(await firstLoad()).toEqual([undefined, undefined, undefined])
})

test('without names the series of all accounts are one, with sums, and the worst of ages and requests left', async () => {
  const { metrics, sample } = observed(['first customer', 'second customer'], false)
  metrics.restore('first customer', TOTALS)
  metrics.restore('second customer', { ...TOTALS, lastCompleteAt: new Date(9000), requestsLeft: 100 })
  metrics.observeRun({ ...SUMMARY, account: 'first customer' })
  metrics.observeRun({ ...SUMMARY, account: 'second customer' })

  expect(await metrics.read({ hasAccounts: false })).not.toMatch(/customer|account=/)
  expect(await sample('spidra_sync_runs_total{mode="full",status="complete"}')).toBe(2)
  expect(await sample('spidra_sync_run_duration_seconds_count{mode="full"}')).toBe(2)
  expect(await sample('spidra_sync_run_duration_seconds_bucket{le="5",mode="full"}')).toBe(2)
  expect(await sample('spidra_sync_last_complete_timestamp_seconds')).toBe(5)
  expect(await sample('spidra_sync_stuck_jobs')).toBe(6)
  expect(await sample('spidra_sync_firing_alerts{kind="stale"}')).toBe(2)
  expect(await sample('spidra_sync_requests_left')).toBe(100)
  // The series with names are still there.
  expect(await metrics.read({ hasAccounts: true })).toContain('{account="second customer"} 9\n')
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
  for (const account of ['old', 'stays']) metrics.restore(account, TOTALS)

  metrics.forgetAccount('old')
  // Its last run ends after that.
  metrics.observeRun({ ...SUMMARY, account: 'old' })

  expect(await sample(lastComplete('old'))).toBeUndefined()
  expect(await sample('spidra_sync_listed_jobs{account="old"}')).toBeUndefined()
  expect(await sample('spidra_sync_open_rejections{account="old"}')).toBeUndefined()
  expect(await sample('spidra_sync_firing_alerts{account="old",kind="stale"}')).toBeUndefined()
  expect(await sample(lastComplete('stays'))).toBe(5)
})

test('results have no line while they are off for all accounts, and each account has its own setting', async () => {
  const { metrics, sample } = observed(['on', 'off'])
  const lines = async () =>
    (await metrics.read({ hasAccounts: true })).split('\n').filter((line) => line.includes('results'))

  metrics.showResults('off', null)
  expect(await lines()).toEqual([])
  metrics.showResults('on', { due: 50, completeAsOf: new Date(5_000) })
  expect(await sample('spidra_sync_results_due{account="on"}')).toBe(50)
  expect(await sample('spidra_sync_results_complete_timestamp_seconds{account="on"}')).toBe(5)
  expect(await sample('spidra_sync_results_due{account="off"}')).toBeUndefined()
  metrics.showResults('on', { due: 60, completeAsOf: null })
  expect(await sample('spidra_sync_results_complete_timestamp_seconds{account="on"}')).toBeUndefined()
  metrics.forgetAccount('on')
  expect(await sample('spidra_sync_results_due{account="on"}')).toBeUndefined()
})

test('without names of accounts, results are as old as those of the account that is worst off', async () => {
  const { metrics, sample } = observed(['one', 'two'], false)
  metrics.showResults('one', { due: 50, completeAsOf: new Date(5_000) })
  metrics.showResults('two', { due: 7, completeAsOf: new Date(9_000) })

  expect(await sample('spidra_sync_results_due')).toBe(57)
  expect(await sample('spidra_sync_results_complete_timestamp_seconds')).toBe(5)
})
