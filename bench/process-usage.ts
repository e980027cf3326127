import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** What a command used. CPU and memory are those of its whole process tree, from /proc; null on systems without /proc. */
export interface Usage {
  /** When it was spawned, epoch ms with fractions. */
  readonly startedAt: number
  readonly seconds: number
  readonly cpuSeconds: number | null
  readonly peakRssBytes: number | null
  readonly code: number | null
  readonly output: string
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

const SAMPLE_MS = 20

/** Linux counts CPU in hundredths of a second (`getconf CLK_TCK`). */
const TICKS_PER_SECOND = 100

/** Runs a command to its end. Once `until` resolves to true, kills it and its children with SIGKILL. */
export async function measure(command: Command, until?: () => Promise<boolean>): Promise<Usage> {
  const startedAt = performance.now()
  const started = startCommand(command)

  let cpuTicks: number | null = null
  let peak: number | null = null
  const timer = setInterval(() => {
    const sample = sampleTree(started.pid ?? 0)
    if (sample === null) return
    cpuTicks = Math.max(cpuTicks ?? 0, sample.ticks)
    peak = Math.max(peak ?? 0, sample.rss)
  }, SAMPLE_MS)
  const killer = until === undefined ? null : setInterval(async () => (await until()) && started.kill(), 5)
  try {
    const { code, output } = await started.ended
    const seconds = (performance.now() - startedAt) / 1000
    const cpuSeconds = cpuTicks === null ? null : cpuTicks / TICKS_PER_SECOND
    return { startedAt: performance.timeOrigin + startedAt, seconds, cpuSeconds, peakRssBytes: peak, code, output }
  } finally {
    clearInterval(timer)
    if (killer !== null) clearInterval(killer)
  }
}

/** A command that runs. */
export interface Started {
  readonly pid: number | undefined
  /** `code` null: a signal ended it. `output`: the end of what it wrote. */
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>
  /** Kills it and its children with SIGKILL. */
  kill(): void
}

/** Commands that run; a benchmark that is interrupted leaves none behind. */
const running = new Set<Started>()
process.on('exit', () => {
  for (const started of running) started.kill()
})

/** Starts a command in a process group of its own, so that a kill reaches its children too. */
export function startCommand({ file, args, env }: Command): Started {
  const { PATH, HOME } = process.env
  const child = spawn(file, args, { env: { PATH, HOME, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)))
  const started: Started = {
    pid: child.pid,
    ended: new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => {
        running.delete(started)
        resolve({ code, output })
      })
    }),
    kill() {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // The process has ended.
      }
    },
  }
  running.add(started)
  return started
}

/** CPU seconds of a process and of all its children so far, ended ones included. */
export function cpuSecondsOf(pid: number): number | null {
  const sample = sampleTree(pid)
  return sample === null ? null : sample.ticks / TICKS_PER_SECOND
}

function sampleTree(root: number): { readonly ticks: number; readonly rss: number } | null {
  const processes = readProcesses()
  if (processes === null || !processes.has(root)) return null
  let ticks = 0
  let rss = 0
  const todo = [root]
  for (let pid = todo.pop(); pid !== undefined; pid = todo.pop()) {
    const found = processes.get(pid)
    if (found === undefined) continue
    ticks += found.ticks
    rss += found.rss
    for (const [child, { parent }] of processes) if (parent === pid) todo.push(child)
  }
  return { ticks, rss }
}

/** Reads fields 4 (parent), 14 to 17 (CPU of the process and of its ended children) and 24 (pages in memory), see proc(5). */
function readProcesses(): Map<number, { parent: number; ticks: number; rss: number }> | null {
  const found = new Map<number, { parent: number; ticks: number; rss: number }>()
  let names: string[]
  try {
    names = readdirSync('/proc')
  } catch {
    return null
  }
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8')
      const fields = text
        .slice(text.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number)
      const [parent = 0, ticks] = [fields[1], [11, 12, 13, 14].reduce((sum, at) => sum + (fields[at] ?? 0), 0)]
      found.set(Number(name), { parent, ticks, rss: (fields[21] ?? 0) * 4096 })
    } catch {
      // The process has ended.
    }
  }
  return found
}
