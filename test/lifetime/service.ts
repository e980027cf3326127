import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const ENTRY = fileURLToPath(new URL('service-process.ts', import.meta.url))
/** By its address, because the process works in another folder. */
const TSX = import.meta.resolve('tsx')

/** Lines of the log that a report of a violation may need. */
const LINES_KEPT = 40

/** A stretch of real time, epoch ms. `to` null: it goes on. */
export interface Stretch {
  readonly from: number
  to: number | null
}

/** The real service in a process of its own, which may be restarted. */
export interface ServiceSeat extends AsyncDisposable {
  /** Base URL of its HTTP server; null while it is down. */
  readonly url: string | null
  /** Of its process. */
  readonly pid: number | undefined
  /** How many times it was started. */
  readonly starts: number
  /** When it was down, from the signal to the moment at which it was ready again. */
  readonly downtimes: readonly Stretch[]
  /** The last lines of its log. */
  readonly log: readonly string[]
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

/** A cron expression for every so many seconds: a whole number that divides 60. */
export function everySeconds(seconds: number): string {
  return seconds > 1 ? `*/${seconds} * * * * *` : '* * * * * *'
}

/** A cron expression for once in each scaled day: at the instant, epoch ms, and every `dayMinutes` from it. */
export function onceADay(at: number, dayMinutes: number): string {
  const instant = new Date(at)
  return `${instant.getUTCSeconds()} ${instant.getUTCMinutes() % dayMinutes}-59/${dayMinutes} * * * *`
}

/** @param onCrash hears of an end that nobody asked for, and of an exit code that is not 0, with the last lines of the log. */
export async function startServiceSeat(
  env: Readonly<Record<string, string>>,
  onCrash: (what: string, log: readonly string[]) => void,
): Promise<ServiceSeat> {
  const log: string[] = []
  const downtimes: { from: number; to: number | null }[] = [{ from: 0, to: null }]
  let opened: string | null = null
  let url: string | null = null
  let starts = 0
  let isEnding = false
  let child = start()
  await ready()

  function start() {
    const { PATH, HOME } = process.env
    starts += 1
    const started = spawn(process.execPath, ['--import', TSX, ENTRY], {
      cwd: tmpdir(),
      env: { PATH, HOME, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
      // Ctrl-C is the harness's to pass on.
      detached: true,
    })
    createInterface({ input: started.stdout }).on('line', (line) => {
      log.push(line)
      if (log.length > LINES_KEPT) log.shift()
      const found = /"url":"(http:[^"]+)"/.exec(line)?.[1]
      if (found !== undefined) opened = found
      // It listens before it has prepared the database.
      if (!line.includes('"msg":"service ready"')) return
      url = opened
      const last = downtimes.at(-1)
      if (last !== undefined) last.to = Date.now()
      started.emit('ready')
    })
    started.once('exit', (code, signal) => {
      if (!isEnding || (signal === null && code !== 0)) onCrash(`the service ended with ${code ?? signal}`, log)
      url = null
      started.emit('ready')
    })
    return started
  }

  async function ready(): Promise<void> {
    if (url === null) await once(child, 'ready')
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    isEnding = true
    if (child.exitCode !== null || child.signalCode !== null) return
    url = null
    child.kill(signal)
    await once(child, 'exit')
  }

  return {
    get url() {
      return url
    },
    get pid() {
      return child.pid
    },
    get starts() {
      return starts
    },
    downtimes,
    log,
    async restart(signal) {
      downtimes.push({ from: Date.now(), to: null })
      await end(signal)
      isEnding = false
      child = start()
      await ready()
    },
    [Symbol.asyncDispose]: () => end('SIGTERM'),
  }
}
