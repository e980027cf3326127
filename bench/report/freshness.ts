import type { FreshnessRow, InstalledRow } from '../freshness/freshness.js'
import type { Results } from '../results.js'
import { lastLineOf, show, toTable } from './figures.js'

const minutes = (value: number | null | undefined) => show(value ?? null, 1)

const COLUMNS: readonly (readonly [title: string, toText: (row: FreshnessRow) => string])[] = [
  ['first load, h', ({ loadMinutes }) => show(loadMinutes === null ? null : loadMinutes / 60, 1)],
  ['oldest row, median', ({ ages }) => minutes(ages?.worst.median)],
  ['oldest row, most', ({ ages }) => minutes(ages?.worst.most)],
  ['open jobs, median', ({ ages }) => minutes(ages?.open.median)],
  ['open jobs, 99 %', ({ ages }) => minutes(ages?.open.p99)],
  ['all rows, median', ({ ages }) => minutes(ages?.all.median)],
  ['all rows, 99 %', ({ ages }) => minutes(ages?.all.p99)],
  ['requests a day', ({ requestsADay }) => show(requestsADay)],
  ['429 a day', ({ refusedADay }) => show(refusedADay)],
  ['runs', ({ runs }) => show(runs)],
  ['failed', ({ failedRuns }) => show(failedRuns)],
  ['rows wrong at the end', wrongAtTheEnd],
  ['all right after', ({ settledMinutes }) => minutes(settledMinutes)],
]

function wrongAtTheEnd({ truth }: FreshnessRow): string {
  return show(truth === null ? null : truth.missing + truth.stale + truth.extra)
}

/** Composes the section about freshness: how it was measured, a table for each workload, and what happens as installed. */
export function toFreshness({ freshness, installed }: Pick<Results, 'freshness' | 'installed'>): string {
  const [first] = freshness
  if (first === undefined) return ''
  const { speed, arrivals } = first.workload
  const names = [...new Set(freshness.map(({ workload }) => workload.name))]
  const remedies = [...new Map(freshness.map((row) => [row.subject, row.remedy]))]
  return [
    '## Freshness under the real limit',
    '',
    `300 requests in 15 minutes, ${arrivals} new jobs a minute, which progress. The time goes ${speed} times as fast: a minute is ${show(60 / speed, 1)} s,`,
    'and every duration of the service and of the others is divided alike. Minutes and hours are those of the account.',
    'spidra-sync is the service with its default settings; the others begin their next run when the last one has ended. Of the',
    'completed jobs with failures half run again, up to five minutes after they had ended. Such a job is the oldest row of',
    'spidra-sync: only its sweep (20 pages an hour) and its daily full pass find what changes after it has ended.',
    '',
    'The age of a row is 0 while it equals what the API says, else the time since the API first said something else; a missing row is',
    'as old as its job. It is compared once a minute from outside, from the moment on at which the table held all that had been listed at the',
    'start (*first load*). *Oldest row* is how old the table as a whole is. *Open jobs* change every few seconds, so theirs is',
    'the time since they were read. *Rows wrong at the end*: after no job has changed for as long as two readings of the list',
    'take, or as soon as all rows are right (*all right after*, in minutes, of which the last jobs need twelve to end). Ages are in',
    'minutes. `-`: never in that time.',
    '',
    'Three things favour one or the other. The sampled hours of spidra-sync contain its full pass, which comes once a day: so',
    'its requests a day are overstated, and the age of its oldest row is understated where the hours are fewer than a day. CPU is',
    'not scaled: a second of it weighs as a minute, which makes the age of PyAirbyte and of the script larger than it would be. A',
    'second is also the finest Retry-After, which costs the others up to a minute a window, and PyAirbyte adds a second of its',
    'own. What happens as installed was tried in real time, with 15 minutes a window.',
    '',
    ...names.flatMap((name) => [
      `### ${name}`,
      '',
      `Hours sampled: ${freshness.find(({ workload }) => workload.name === name)?.workload.hours}.`,
      '',
      toTable(
        ['', ...COLUMNS.map(([title]) => title)],
        freshness
          .filter(({ workload }) => workload.name === name)
          .map((row) => [row.subject, ...COLUMNS.map(([, toText]) => toText(row))]),
      ),
      '',
    ]),
    ...remedies.flatMap(([subject, remedy]) =>
      remedy === null ? [] : [`- ${subject}: ${toInstalled(installed, subject)}measured with ${remedy}.`],
    ),
    ...freshness.flatMap(({ workload, subject, failure, failedRuns, runs }) =>
      failure === null
        ? []
        : [`- ${subject}, ${workload.name}: ${failedRuns} of ${runs} runs failed: \`${lastLineOf(failure)}\``],
    ),
    '',
  ].join('\n')
}

function toInstalled(installed: readonly InstalledRow[], name: string): string {
  const row = installed.find(({ subject }) => subject === name)
  if (row === undefined) return ''
  if (row.failure === null) return `as installed, none of ${row.runs} runs failed; `
  if (row.refusedRuns === row.failedRuns) return `as installed, ${row.failedRuns} of ${row.runs} runs ended with 429; `
  return `as installed, ${row.failedRuns} of ${row.runs} runs failed (\`${lastLineOf(row.failure)}\`); `
}

const HEAD = [
  '',
  'jobs',
  'oldest row, min: median / most',
  'open jobs, min: 99 %',
  'half of the limit used by others: oldest row',
  'open jobs',
  'requests a day',
  '429 a day',
  'failed runs',
  'rows wrong at the end',
]

/** Composes the table of the README: one line for each list and subject, with the whole limit and with half of it. */
export function toFreshnessHeadline({ freshness }: Pick<Results, 'freshness'>): string {
  const lines = [...new Map(freshness.map((row) => [`${row.workload.jobs} ${row.subject}`, row])).values()]
  if (lines.length === 0) return ''
  const bySize = lines.toSorted((one, other) => one.workload.jobs - other.workload.jobs)
  return toTable(
    HEAD,
    bySize.map(({ workload: { jobs }, subject, role }) => {
      const [free, shared] = [false, true].map((isShared) =>
        freshness.find(
          (row) => row.subject === subject && row.workload.jobs === jobs && row.workload.isShared === isShared,
        ),
      )
      const measured = [free, shared].filter((row) => row !== undefined)
      const each = (toText: (row: FreshnessRow) => string) => [...new Set(measured.map(toText))].join(' / ')
      return [
        role === 'ours' ? `**${subject}**` : subject,
        show(jobs),
        oldest(free),
        minutes(free?.ages?.open.p99),
        oldest(shared),
        minutes(shared?.ages?.open.p99),
        each(({ requestsADay }) => show(requestsADay)),
        each(({ refusedADay }) => show(refusedADay)),
        each(({ failedRuns }) => show(failedRuns)),
        each(wrongAtTheEnd),
      ]
    }),
  )
}

function oldest(row: FreshnessRow | undefined): string {
  return `${minutes(row?.ages?.worst.median)} / ${minutes(row?.ages?.worst.most)}`
}
