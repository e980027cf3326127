import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createMetrics, type Metrics } from '../../src/http/metrics.js'

const PAGE = readFileSync('docs/metrics.md', 'utf8')
const RULES = 'dashboards/prometheus/alerts.yaml'

const PROMTOOL = '/usr/bin/promtool'
const isThere = existsSync(PROMTOOL)

/** Without promtool these tests are skipped, and their name says so. */
const title = isThere ? 'promtool' : `SKIPPED, because ${PROMTOOL} does not exist (apt-get install prometheus)`

/** Metrics of a process of a fleet in which each series has a value. */
function allMetrics(): Metrics {
  const metrics = createMetrics({ version: '1.2.3', accounts: ['default'] })
  metrics.restore('default', {
    ...{ lastCompleteAt: new Date(), rereadSince: new Date(), listedTotal: 7, storedTotal: 7, openRejections: 1 },
    ...{ stuckJobs: 1, firingAlerts: ['stale'], requestLimit: 300, requestsLeft: 100 },
  })
  metrics.showFirstLoad('default', {
    ...{ asOf: '2026-03-01T12:00:00Z', kind: 'first_load', doneJobs: 5_000, listedJobs: 20_000, percent: 25 },
    ...{ isRunning: true, waitsFor: null, waitsUntil: null, doneAt: '2026-03-01T13:00:00Z' },
  })
  metrics.showResults('default', { due: 50, completeAsOf: new Date() })
  metrics.showPause(false)
  metrics.showFleet({
    workers: [
      {
        ...{ worker: 'here:1', role: 'worker', sourceAddress: null, running: 1, runsInParallel: 4 },
        ...{ budget: { limit: 300, remaining: 150, resetAt: null }, pausedUntil: null },
        ...{ startedAt: '2026-03-01T12:00:00Z', seenAt: '2026-03-01T12:00:00Z', silentSeconds: 0, isAlive: true },
      },
    ],
    ...{ waitingRuns: 1, activeRuns: 1, oldestWaitSeconds: 2 },
    deadLetters: [{ account: 'default', runs: 1, lastError: null, lastAt: '2026-03-01T12:00:00Z' }],
  })
  return metrics
}

/** The metrics of a text: a line of the page for each, with its type and the names of its labels. */
function rowsOf(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => {
    const samples = [...text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?(?:\\{(.*)\\})? \\S+$`, 'gm'))]
    const labels = samples.flatMap(([, list = '']) => [...list.matchAll(/(\w+)="/g)].map(([, label = '']) => label))
    const names = [...new Set(labels)].filter((label) => label !== 'le').map((label) => `\`${label}\``)
    return `| \`${name}\` | ${type} | ${names.join(', ')}`.trimEnd()
  })
}

describe('docs/metrics.md', () => {
  test('has each metric that a service exposes, with its type and labels, and no other', async () => {
    const rows = rowsOf(await allMetrics().read({ hasAccounts: true }))
    const ours = rows.filter((row) => row.includes('spidra_sync_'))
    const onPage = [...PAGE.matchAll(/^(\| `spidra_sync_\w+` \| \w+ \|[^|]*)\|/gm)].map(([, row = '']) => row.trimEnd())

    expect(onPage.toSorted()).toEqual(ours.toSorted())
  })

  test('names each metric of the process and of Node, and no other', async () => {
    const text = await allMetrics().read({ hasAccounts: true })
    const exposed = [...text.matchAll(/^# TYPE ((?:process|nodejs)_\w+) /gm)].map(([, name]) => name)
    const named = [...PAGE.matchAll(/`((?:process|nodejs)_\w+)`/g)].map(([, name]) => name)

    // Node reports some of them on Linux only.
    expect(process.platform === 'linux' ? named.toSorted() : exposed).toEqual(exposed.toSorted())
  })

  test('has each alert of the rules, and no other', () => {
    const rules = [...readFileSync(RULES, 'utf8').matchAll(/- alert: (\w+)/g)].map(([, name]) => name)
    const onPage = [...PAGE.matchAll(/^\| `(SpidraSync\w+)` \|/gm)].map(([, name]) => name)

    expect(rules.length).toBeGreaterThan(3)
    expect(onPage).toEqual(rules)
  })
})

test('rules, dashboards and pages name only metrics that a service exposes', async () => {
  const text = await allMetrics().read({ hasAccounts: true })
  const files = [RULES, 'dashboards/grafana/overview.json', 'docs/operations.md', 'docs/scaling.md', 'docs/metrics.md']
  const exposed = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name))
  const named = files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/\bspidra_sync_\w+/g)].map(([name]) => name),
  )

  expect(named.filter((name) => !exposed.has(name))).toEqual([])
})

/** Runs promtool; returns its exit code and all that it wrote. */
function promtool(args: readonly string[], input = ''): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    const child = execFile(PROMTOOL, args, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    )
    child.stdin?.end(input)
  })
}

describe.skipIf(!isThere)(title, () => {
  test.each([true, false])('finds no fault in the metrics (with names of accounts: %s)', async (hasAccounts) => {
    const text = await allMetrics().read({ hasAccounts })

    expect(await promtool(['check', 'metrics'], text)).toEqual({ code: 0, output: '' })
  })

  test('finds one where there is one', async () => {
    const gauge = '# HELP wrong_total A gauge.\n# TYPE wrong_total gauge\nwrong_total 1\n'

    expect(await promtool(['check', 'metrics'], gauge)).toMatchObject({ code: 3 })
  })

  test('each rule fires on its fault, and none on a healthy service', async () => {
    expect(await promtool(['test', 'rules', 'test/dashboards/prometheus-rules.yaml'])).toEqual({
      code: 0,
      output: expect.stringContaining('SUCCESS'),
    })
  })

  test('each rule is tested', () => {
    const tests = readFileSync('test/dashboards/prometheus-rules.yaml', 'utf8')
    const firing = [...tests.matchAll(/alertname: (\w+)\n +exp_alerts:\n/g)].map(([, name]) => name)
    const rules = [...readFileSync(RULES, 'utf8').matchAll(/- alert: (\w+)/g)].map(([, name]) => name)

    expect(rules.filter((name) => !firing.includes(name))).toEqual([])
  })
})
