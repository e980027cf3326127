import { endedWell, repeatedRequests } from './report/figures.js'
import { REPEATED_MOST } from './report/goals.js'
import type { Row } from './run.js'
import { KILLED, STEADY, UNCHANGED } from './workloads.js'

/**
 * What ours did wrong, a line each; none is the only good number. Speed is looked at, correctness is asked for: whatever
 * was run to its end must hold exactly what is listed, write nothing where nothing changed, and ask for nothing twice.
 */
export function faultsOf(rows: readonly Row[]): string[] {
  return rows.filter(({ role }) => role === 'ours').flatMap((row) => faultsIn(row, rows))
}

function faultsIn(row: Row, rows: readonly Row[]): string[] {
  const { kind, step, measurements, workload, subject, jobs, concurrency } = row
  const faults: string[] = []
  if (endedWell(row).length < measurements.length) {
    faults.push(`ended with ${measurements.map(({ code }) => code ?? 'a signal').join(', ')}`)
  }
  if (step !== KILLED) {
    for (const { truth } of measurements) {
      if (truth === null) faults.push('could not be compared with what is listed')
      else if (truth.missing + truth.stale + truth.extra > 0) faults.push(`holds other jobs: ${JSON.stringify(truth)}`)
    }
    const repeated = kind === 'kill' ? repeatedRequests(rows, subject, jobs) : []
    for (const requests of repeated) {
      if (requests > concurrency + REPEATED_MOST) faults.push(`repeated ${requests} requests`)
    }
  }
  if (kind === 'load' && (step === UNCHANGED || step === STEADY)) {
    for (const { tableWalBytes, requests } of measurements) {
      if (tableWalBytes !== 0)
        faults.push(`wrote ${tableWalBytes ?? 'nobody knows how many'} bytes of WAL on its table`)
      if (step === STEADY && requests !== 1) faults.push(`made ${requests} requests`)
    }
  }
  return faults.map((fault) => `${workload}, ${step}: ${fault}`)
}
