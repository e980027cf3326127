import { type Measurement, openBench } from './measurement.js'
import type { BenchServer } from './postgres.js'
import type { Subject } from './subjects/subject.js'
import type { Workload } from './workloads.js'

/** All that was measured of one subject in one step, a measurement a round. */
export interface Row {
  readonly workload: string
  readonly jobs: number
  readonly step: string
  readonly subject: string
  readonly measurements: Measurement[]
}

/** Plays a workload with every subject in turn, round by round, so that what disturbs the machine disturbs all alike. */
export async function playRounds(
  server: BenchServer,
  workload: Workload,
  subjects: readonly Subject[],
  { rounds, say }: { readonly rounds: number; readonly say: (line: string) => void },
): Promise<Row[]> {
  const rows = new Map<string, Row>()
  for (let round = 1; round <= rounds; round += 1) {
    for (const subject of subjects) {
      await using bench = await openBench(server, subject, workload.conditions)
      for await (const { step, measurement } of workload.play(bench, subject)) {
        const key = `${step}\n${subject.name}`
        const row = rows.get(key) ?? newRow(workload, step, subject)
        row.measurements.push(measurement)
        rows.set(key, row)
        const { seconds, code } = measurement
        say(
          `${workload.name} | ${step} | ${subject.name} | round ${round}: ${seconds.toFixed(2)} s${code === 0 ? '' : `, ended with ${code}`}`,
        )
      }
    }
  }
  return [...rows.values()]
}

function newRow({ name, conditions }: Workload, step: string, subject: Subject): Row {
  return { workload: name, jobs: conditions.jobs, step, subject: subject.name, measurements: [] }
}
