import { setTimeout as sleep } from 'node:timers/promises'
import { API_KEY, type CliProcess, DATABASE_PASSWORD } from '../support/cli.js'
import type { TestDatabase } from '../support/test-database.js'
import { readVitals, type Vitals } from './vitals.js'

const INTERVAL_MS = 1_000

/** Time limit of a request: enough for a busy machine, so that only a service that hangs exceeds it. */
const ANSWER_MS = 10_000

const SECRETS = [API_KEY, DATABASE_PASSWORD]

/** Polls the service once a second: health, HTTP endpoints and resource usage. */
export interface Monitor {
  /** Claims that did not hold, one sentence each. */
  readonly failures: string[]
  readonly samples: readonly Vitals[]
  readonly healthChecks: number
  /** Size of the service's output and HTTP answers. */
  readonly outputBytes: number
  /** Aborts when the process ends. */
  readonly over: AbortSignal
  /** Ends the process by SIGTERM, which must give exit code 0, and checks its output. */
  end(): Promise<void>
}

/** Starts when the service listens. */
export async function startMonitor(service: CliProcess, database: TestDatabase): Promise<Monitor> {
  const failures: string[] = []
  const samples: Vitals[] = []
  const over = new AbortController()
  const role = new URL(database.url).username
  let healthChecks = 0
  let httpBytes = 0
  let isEnding = false
  void service.ended.then(({ code, signal }) => {
    if (!isEnding) failures.push(`the process ended with ${code ?? signal}`)
    over.abort(new Error('The process ended'))
  })
  const [, url] = await service.says(/"url":"(http:[^"]+)"/)
  // It listens before it has prepared the database.
  await service.says(/"msg":"service ready"/)

  async function ask(path: string): Promise<number> {
    const response = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(ANSWER_MS) })
    const body = await response.text()
    httpBytes += body.length
    if (SECRETS.some((secret) => body.includes(secret))) failures.push(`${path} shows a secret`)
    return response.status
  }

  async function poll(): Promise<void> {
    const status = await ask('/healthz').catch((error: unknown) => String(error))
    if (isEnding || over.signal.aborted) return
    healthChecks += 1
    if (status !== 200) failures.push(`/healthz: ${status}`)
    await Promise.all(['/readyz', '/metrics', '/api/status'].map(ask)).catch((error: unknown) => {
      if (!isEnding && !over.signal.aborted) failures.push(`HTTP: ${error}`)
    })
    samples.push(await readVitals(database, service.pid, role))
  }

  async function pollOn(): Promise<void> {
    while (!isEnding && !over.signal.aborted) {
      await poll()
      await sleep(INTERVAL_MS, undefined, { signal: over.signal }).catch(() => undefined)
    }
  }
  const polling = pollOn().catch((error: unknown) => void failures.push(`the monitor failed: ${error}`))

  return {
    failures,
    samples,
    get healthChecks() {
      return healthChecks
    },
    get outputBytes() {
      return service.stdout.length + service.stderr.length + httpBytes
    },
    over: over.signal,
    async end() {
      isEnding = true
      await polling
      const isAlive = !over.signal.aborted
      service.kill('SIGTERM')
      const { code, signal, stdout, stderr } = await service.ended
      if (isAlive && code !== 0) failures.push(`SIGTERM ended it with ${code ?? signal}`)
      if (stderr !== '') failures.push(`it wrote to standard error: ${stderr.slice(0, 500)}`)
      const alarm = /^.*("level":"fatal"|unhandled|uncaught).*$/im.exec(stdout)?.[0]
      if (alarm !== undefined) failures.push(`it logged ${alarm.slice(0, 500)}`)
      if (SECRETS.some((secret) => `${stdout}${stderr}`.includes(secret))) failures.push('its output shows a secret')
    },
  }
}
