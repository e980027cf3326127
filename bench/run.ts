import { type Measurement, openBench } from './measurement.js'
import type { BenchServer } from './postgres.js'
import type { Role, Subject } from './subjects/subject.js'
import type { Kind, Workload } from './workloads.js'

/** The measurements of one subject in one step, one for each round. */
export interface Row {
  readonly workload: string
  readonly kind: Kind
  readonly jobs: number
  readonly concurrency: number
  readonly step: string
  readonly subject: string
  readonly role: Role
  readonly measurements: Measurement[]
}

/** A subject and the names of the steps that it plays; null: all steps. */
export interface Player {
  readonly subject: Subject
  readonly steps: readonly string[] | null
}

/** Plays a workload with every subject in turn, round by round, so that a disturbance of the machine affects all alike. */
export async function playRounds(
  server: BenchServer,
  { workload, players }: { readonly workload: Workload; readonly players: readonly Player[] },
  { rounds, say }: { readonly rounds: number; readonly say: (line: string) => void },
): Promise<Row[]> {
  const rows = new Map<string, Row>()
  for (let round = 1; round <= rounds; round += 1) {
    for (const { subject, steps } of players) {
      await using bench = await openBench(server, subject, workload.conditions)
      for (const { name, before, ...how } of workload.steps) {
        if (how.isIncremental && subject.incremental === undefined) continue
        if (steps !== null && !steps.includes(name)) continue
        await before?.(bench.account)
        const measurement = await bench.run(how)
        const key = `${name}\n${subject.name}`
        const row = rows.get(key) ?? newRow(workload, name, subject)
        row.measurements.push(measurement)
        rows.set(key, row)
        const { seconds, code } = measurement
        const end = code === 0 ? '' : `, ended with ${code ?? 'a signal'}`
        say(`${workload.name} | ${name} | ${subject.name} | round ${round}: ${seconds.toFixed(2)} s${end}`)
      }
    }
  }
  return [...rows.values()]
}

function newRow({ name, kind, conditions }: Workload, step: string, { name: subject, role }: Subject): Row {
  const { jobs, concurrency } = conditions
  return { workload: name, kind, jobs, concurrency, step, subject, role, measurements: [] }
}
