// Writes to standard output why containers cannot be used, or nothing. It is a separate process, because a dead socket
// accepts a connection and never answers, and would keep the test run from ending.
import { setTimeout as sleep } from 'node:timers/promises'
import { getContainerRuntimeClient, ImageName } from 'testcontainers'

const ENGINE_TIMEOUT_MS = 3_000
const PULL_TIMEOUT_MS = 90_000

const [image = ''] = process.argv.slice(2)
process.stdout.write(await findObstacle(ImageName.fromString(image)), () => process.exit())

async function findObstacle(name: ImageName): Promise<string> {
  const client = await within(ENGINE_TIMEOUT_MS, getContainerRuntimeClient())
  if (client === null) return 'no container engine answers'
  if (await within(ENGINE_TIMEOUT_MS, client.image.exists(name))) return ''
  const isPulled = await within(
    PULL_TIMEOUT_MS,
    client.image.pull(name).then(() => client.image.exists(name)),
  )
  return isPulled ? '' : `the container engine cannot pull ${image}`
}

/** Resolves with null if the attempt takes longer, or fails. */
function within<T>(timeoutMs: number, attempt: Promise<T>): Promise<T | null> {
  return Promise.race([attempt.catch(() => null), sleep(timeoutMs, null)])
}
