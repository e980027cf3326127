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

/** What a container engine offers. */
export interface ContainerProbe {
  /** Why no container can be started, or null. */
  readonly obstacle: string | null
  /** Whether Ryuk, which removes the container of a test run that was killed, can be started as well. */
  readonly hasReaper: boolean
}

export const CONTAINER_IMAGE = 'postgres:17-alpine'

const PROBE = fileURLToPath(new URL('probe-container-engine.ts', import.meta.url))

/**
 * Chooses `TEST_DATABASE_URL`, else a container if an engine answers and has or pulls the image, else the embedded
 * server.
 */
export async function choosePostgres(env: NodeJS.ProcessEnv): Promise<PostgresChoice> {
  if (env.TEST_DATABASE_URL) return { kind: 'given', url: env.TEST_DATABASE_URL, reason: 'TEST_DATABASE_URL is set' }
  // Testcontainers would pull another image to find out how an engine is reached from inside a container.
  if (existsSync('/.dockerenv')) env.TESTCONTAINERS_HOST_OVERRIDE ??= 'localhost'
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', PROBE, CONTAINER_IMAGE], { env })
  const { obstacle, hasReaper }: ContainerProbe = JSON.parse(stdout)
  if (obstacle !== null) return { kind: 'embedded', url: null, reason: obstacle }
  if (hasReaper) return { kind: 'container', url: null, reason: 'a container engine answers' }
  env.TESTCONTAINERS_RYUK_DISABLED ??= 'true'
  const reason = 'a container engine answers; it cannot pull Ryuk, so a killed test run leaves the container behind'
  return { kind: 'container', url: null, reason }
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
