import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** The Postgres under the tests, and why this one. */
export interface PostgresChoice {
  readonly kind: 'given' | 'container' | 'embedded'
  /** Connection string of a server that is there already; null: it is to be started. */
  readonly url: string | null
  readonly reason: string
}

export const CONTAINER_IMAGE = 'postgres:17-alpine'

/** A dead socket accepts and never answers. */
const ENGINE_TIMEOUT_MS = 3_000

const PULL_TIMEOUT_MS = 90_000

/** `TEST_DATABASE_URL`, else a container where an engine answers and has or gets the image, else the embedded server. */
export async function choosePostgres(env: NodeJS.ProcessEnv): Promise<PostgresChoice> {
  if (env.TEST_DATABASE_URL) return { kind: 'given', url: env.TEST_DATABASE_URL, reason: 'TEST_DATABASE_URL is set' }
  // The reaper would be a second image to pull. The tests have one container, and stop it themselves.
  env.TESTCONTAINERS_RYUK_DISABLED ??= 'true'
  // Testcontainers would pull a third image to find out how an engine is reached from inside a container.
  if (existsSync('/.dockerenv')) env.TESTCONTAINERS_HOST_OVERRIDE ??= 'localhost'
  const obstacle = await obstacleToContainers()
  if (obstacle !== null) return { kind: 'embedded', url: null, reason: obstacle }
  return { kind: 'container', url: null, reason: 'a container engine answers' }
}

/** The choice as the first line of the test run. */
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

async function obstacleToContainers(): Promise<string | null> {
  const { getContainerRuntimeClient, ImageName } = await import('testcontainers')
  const client = await within(ENGINE_TIMEOUT_MS, getContainerRuntimeClient)
  if (client === null) return 'no container engine answers'
  const image = ImageName.fromString(CONTAINER_IMAGE)
  if (await within(ENGINE_TIMEOUT_MS, () => client.image.exists(image))) return null
  const pulled = await within(PULL_TIMEOUT_MS, async () => {
    await client.image.pull(image)
    return client.image.exists(image)
  })
  return pulled ? null : `the container engine cannot pull ${CONTAINER_IMAGE}`
}

/** Null when it takes longer, or fails. */
async function within<T>(timeoutMs: number, attempt: () => Promise<T>): Promise<T | null> {
  const timer = new AbortController()
  const timeout = sleep(timeoutMs, null, { signal: timer.signal }).catch(() => null)
  try {
    return await Promise.race([attempt(), timeout])
  } catch {
    return null
  } finally {
    timer.abort()
  }
}
