import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** The Postgres that the tests use, and why. */
export interface PostgresChoice {
  readonly kind: 'given' | 'container' | 'embedded'
  /** Connection string of a running server; null: one is to be started. */
  readonly url: string | null
  readonly reason: string
}

export const CONTAINER_IMAGE = 'postgres:17-alpine'

const PROBE = fileURLToPath(new URL('probe-container-engine.ts', import.meta.url))

/**
 * Chooses `TEST_DATABASE_URL`, else a container if an engine answers and has or pulls the image, else the embedded
 * server.
 */
export async function choosePostgres(env: NodeJS.ProcessEnv): Promise<PostgresChoice> {
  if (env.TEST_DATABASE_URL) return { kind: 'given', url: env.TEST_DATABASE_URL, reason: 'TEST_DATABASE_URL is set' }
  // The reaper would be a second image to pull. The tests have one container, and stop it themselves.
  env.TESTCONTAINERS_RYUK_DISABLED ??= 'true'
  // Testcontainers would pull a third image to find out how an engine is reached from inside a container.
  if (existsSync('/.dockerenv')) env.TESTCONTAINERS_HOST_OVERRIDE ??= 'localhost'
  const probe = await promisify(execFile)(process.execPath, ['--import', 'tsx', PROBE, CONTAINER_IMAGE], { env })
  if (probe.stdout !== '') return { kind: 'embedded', url: null, reason: probe.stdout }
  return { kind: 'container', url: null, reason: 'a container engine answers' }
}

/** Describes the choice, for the first line of the test run. */
export function describeChoice({ kind, url, reason }: PostgresChoice): string {
  switch (kind) {
    case 'given':
      return `Tests run on the Postgres at ${url ? new URL(url).host : '?'}, because ${reason}.`
    case 'container':
      return `Tests run on ${CONTAINER_IMAGE} in a container, because ${reason}.`
    case 'embedded':
      return `Tests run on the embedded Postgres, because ${reason}.`
    default:
      return kind satisfies never
  }
}
