import { Gauge, type Registry } from 'prom-client'
import type { FleetReport } from '../report/fleet.js'

/** At 0 from the start: where there is no series, no alert fires. */
const ROLES = ['scheduler', 'worker', 'both']

/** The series of a fleet, registered on `registry`; every process of it shows the same. */
export function createFleetInstruments(registry: Registry): (fleet: FleetReport) => void {
  const registers = [registry]
  const workers = new Gauge({
    name: 'spidra_sync_workers',
    help: 'Processes of the fleet that gave a sign of life within the last minute.',
    labelNames: ['role'],
    registers,
  })
  const requestsLeft = new Gauge({
    name: 'spidra_sync_worker_requests_left',
    help: 'Requests left in the window at the address of the worker, as the API last told it, or as it counts them itself.',
    labelNames: ['worker'],
    registers,
  })
  const waiting = new Gauge({
    name: 'spidra_sync_queue_waiting_runs',
    help: 'Runs that are due and that no worker has taken.',
    registers,
  })
  const oldest = new Gauge({
    name: 'spidra_sync_queue_oldest_wait_seconds',
    help: 'How long the oldest of them has been due.',
    registers,
  })
  const dead = new Gauge({
    name: 'spidra_sync_queue_dead_runs',
    help: 'Runs of the account that failed for good since it was last complete.',
    labelNames: ['account'],
    registers,
  })

  return (fleet) => {
    workers.reset()
    requestsLeft.reset()
    dead.reset()
    for (const role of ROLES) workers.set({ role }, 0)
    for (const { worker, role, isAlive, budget } of fleet.workers) {
      if (!isAlive) continue
      workers.inc({ role })
      if (budget?.remaining != null) requestsLeft.set({ worker }, budget.remaining)
    }
    waiting.set(fleet.waitingRuns)
    oldest.set(fleet.oldestWaitSeconds)
    for (const { account, runs } of fleet.deadLetters) dead.set({ account }, runs)
  }
}

/** The series of a process that is a worker, of itself; it needs no database. */
export function createPauseGauge(registry: Registry): (isPaused: boolean) => void {
  const paused = new Gauge({
    name: 'spidra_sync_worker_paused',
    help: '1 while this process takes no runs because its request budget is spent.',
    registers: [registry],
  })
  return (isPaused) => paused.set(isPaused ? 1 : 0)
}
