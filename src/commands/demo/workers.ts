import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** A worker may take so long to end, in milliseconds. */
const END_MS = 5_000

/** The workers of the demo. Disposing of them ends them all, and waits for that. */
export interface DemoWorkers extends AsyncDisposable {
  /** How many there still are. */
  readonly left: number
}

/** Watches over workers that were started; `tell` gets a line when one goes that nobody here has ended. */
export function watchWorkers(workers: readonly ChildProcess[], tell: (line: string) => void): DemoWorkers {
  let isEnding = false
  const countLeft = () => workers.filter((worker) => !hasEnded(worker)).length

  for (const [index, worker] of workers.entries()) {
    worker.once('exit', () => {
      if (isEnding) return
      const time = new Date().toISOString().slice(11, 19)
      tell(`${time} worker ${index + 1} (process ${worker.pid}) is gone; ${restOf(countLeft())}\n`)
    })
  }

  return {
    get left() {
      return countLeft()
    },
    async [Symbol.asyncDispose]() {
      isEnding = true
      await Promise.all(workers.map(end))
    },
  }
}

function restOf(left: number): string {
  if (left === 0) return 'it was the last'
  return othersGoOn(left)
}

/** What happens when one is gone. */
export function othersGoOn(others: number): string {
  return others === 1 ? 'the other one goes on' : 'the others go on'
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

/** In order, or, where it was stopped and hears nothing, by force. */
async function end(worker: ChildProcess): Promise<void> {
  if (hasEnded(worker)) return
  const ended = once(worker, 'exit')
  worker.kill('SIGTERM')
  const force = setTimeout(() => worker.kill('SIGKILL'), END_MS)
  await ended
  clearTimeout(force)
}
