import type { Row } from '../run.js'
import { endedWell } from './figures.js'

/** What did not end as it should, and the last line that it said, an exception's if there is one; nothing where all did. */
export function toFailures(rows: readonly Row[]): string {
  const lines = rows.flatMap((row) => {
    const well = endedWell(row)
    const bad = row.measurements.filter((measurement) => !well.includes(measurement))
    const [first] = bad
    if (first === undefined) return []
    const end = first.code === null ? 'was killed' : `ended with ${first.code}`
    const rounds = `${bad.length} of ${row.measurements.length} rounds`
    return [`- ${row.subject}, ${row.workload}, ${row.step}: ${end} in ${rounds}: \`${lastLineOf(first.output)}\``]
  })
  return lines.length === 0 ? '' : ['## Failures', '', ...lines, ''].join('\n')
}

/** As text between backticks can hold it. */
export function lastLineOf(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  const exception = lines.findLast((line) => /^[\w.]*(?:Error|Exception)\b/.test(line))
  return (exception ?? lines.at(-1) ?? 'it said nothing').trim().replaceAll('`', "'").slice(0, 300)
}
