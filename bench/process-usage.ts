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
export async function measure({ file, args, env }: Command, until?: () => Promise<boolean>): Promise<Usage> {
  const startedAt = performance.now()
  const { PATH, HOME } = process.env
  // Its own process group, so that the kill reaches its children too.
  const child = spawn(file, args, { env: { PATH, HOME, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)))

  let cpuTicks: number | null = null
  let peak: number | null = null
  const timer = setInterval(() => {
    const sample = sampleTree(child.pid ?? 0)
    if (sample === null) return
    cpuTicks = Math.max(cpuTicks ?? 0, sample.ticks)
    peak = Math.max(peak ?? 0, sample.rss)
  }, SAMPLE_MS)
  const killer = until === undefined ? null : setInterval(async () => (await until()) && killGroup(child.pid), 5)
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (ended) => resolve(ended))
    })
    const seconds = (performance.now() - startedAt) / 1000
    const cpuSeconds = cpuTicks === null ? null : cpuTicks / TICKS_PER_SECOND
    return { startedAt: performance.timeOrigin + startedAt, seconds, cpuSeconds, peakRssBytes: peak, code, output }
  } finally {
    clearInterval(timer)
    if (killer !== null) clearInterval(killer)
  }
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // The process has ended.
  }
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
