import { setTimeout as sleep } from 'node:timers/promises'
import type { QueryResultRow } from 'pg'
import { expect } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { API_KEY, type CliProcess, startCli } from './cli.js'

/** Long enough for a busy machine. */
const PATIENCE = { timeout: 60_000, interval: 50 }

/** The answers of both probes at one moment. */
interface Asked {
  readonly healthz: number
  readonly readyz: number
  /** Details of the failing checks, by name. */
  readonly failing: Readonly<Record<string, string>>
}

export interface FaultedService extends AsyncDisposable {
  readonly api: Simulator
  readonly process: CliProcess
  /** All answers of the probes so far; they are polled all the time. */
  readonly answers: readonly Asked[]
  /** Resolves when `/readyz` answers with this status. */
  untilReadyz(status: number): Promise<void>
  /**
   * Resolves when a run that began after this call is complete. Then the table must equal the list, no record of an
   * older run may be `running`, and `/readyz` must answer 200.
   */
  recovered(): Promise<void>
}

interface Where {
  readonly url: string
  sql<Row extends QueryResultRow>(text: string): Promise<Row[]>
}

/**
 * Starts the service for a list of 20 pages, with a run every second, and calls `fault` while page 12 of its first pass
 * is answered. Polls both probes all the time.
 */
export async function startFaultedService(
  database: Where,
  fault: (api: Simulator) => Promise<unknown>,
): Promise<FaultedService> {
  const { sql } = database
  const api = await startSimulator({
    jobs: 1_000,
    key: API_KEY,
    rateLimit: 'off',
    beforeAnswer: async ({ number }) => {
      if (number === 12) await fault(api)
    },
  })
  const service = await startCli(['start'], {
    env: {
      ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url, HTTP_PORT: '0' },
      ...{ SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: 'off' },
    },
  })
  const answers: Asked[] = []
  const probing = new AbortController()
  const probe = service.says(/"url":"(http:[^"]+)"/).then(([, url]) => pollProbes(`${url}`, answers, probing.signal))
  probe.catch(() => undefined)

  async function expectWhole(): Promise<void> {
    const stored = await sql<{ uuid: string; status: string }>(
      'SELECT uuid::text AS uuid, status FROM spidra.batch_jobs WHERE removed_at IS NULL',
    )
    const listed = [...api.account.allUuids()].map((uuid) => [uuid, api.account.job(uuid)?.status] as const)
    expect(new Map(stored.map(({ uuid, status }) => [uuid, status]))).toEqual(new Map(listed))
    // The newest run may be under way.
    const open = await sql(
      `SELECT id FROM spidra.sync_runs WHERE status = 'running' AND id < (SELECT max(id) FROM spidra.sync_runs)`,
    )
    expect(open).toEqual([])
  }

  const untilReadyz = (status: number) =>
    expect.poll(() => answers.slice(-1).map(({ readyz }) => readyz), PATIENCE).toEqual([status])

  return {
    api,
    process: service,
    answers,
    untilReadyz,
    async recovered() {
      const since = await sql<{ at: string }>('SELECT now()::text AS at').then(([row]) => row?.at)
      await expect
        .poll(
          () => sql(`SELECT 1 FROM spidra.sync_runs WHERE status = 'complete' AND started_at > '${since}' LIMIT 1`),
          PATIENCE,
        )
        .toHaveLength(1)
      await expectWhole()
      await untilReadyz(200)
    },
    async [Symbol.asyncDispose]() {
      probing.abort()
      await service[Symbol.asyncDispose]()
      await probe.catch(() => undefined)
      await api.close()
    },
  }
}

async function pollProbes(url: string, answers: Asked[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const [healthz, readyz] = await Promise.all([fetch(`${url}/healthz`), fetch(`${url}/readyz`)])
    const { checks } = (await readyz.json()) as { checks: Record<string, { ok: boolean; detail: string }> }
    const failing = Object.entries(checks).filter(([, { ok }]) => !ok)
    answers.push({
      healthz: healthz.status,
      readyz: readyz.status,
      failing: Object.fromEntries(failing.map(([name, { detail }]) => [name, detail])),
    })
    await sleep(20, undefined, { signal })
  }
}
