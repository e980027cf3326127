// Writes what a container engine offers to standard output, as JSON. It is a process of its own, because a dead socket
// accepts a connection, never answers, and would keep the test run from ending.
import { setTimeout as sleep } from 'node:timers/promises'
import { type ContainerRuntimeClient, getContainerRuntimeClient, ImageName } from 'testcontainers'
import { REAPER_IMAGE } from 'testcontainers/build/reaper/reaper.js'
import type { ContainerProbe } from './postgres-choice.js'

const ENGINE_TIMEOUT_MS = 3_000
const PULL_TIMEOUT_MS = 90_000
/** The image has 10 MB, and the tests can do without it. */
const REAPER_PULL_TIMEOUT_MS = 20_000

const [image = ''] = process.argv.slice(2)
process.stdout.write(JSON.stringify(await probe()), () => process.exit())

async function probe(): Promise<ContainerProbe> {
  const client = await within(ENGINE_TIMEOUT_MS, getContainerRuntimeClient())
  if (client === null) return { obstacle: 'no container engine answers', hasReaper: false }
  if (!(await canHave(client, image, PULL_TIMEOUT_MS)))
    return { obstacle: `the container engine cannot pull ${image}`, hasReaper: false }
  return { obstacle: null, hasReaper: await canHave(client, REAPER_IMAGE, REAPER_PULL_TIMEOUT_MS) }
}

/** Whether the engine has the image, or can pull it in time. */
async function canHave(client: ContainerRuntimeClient, text: string, timeoutMs: number): Promise<boolean> {
  const name = ImageName.fromString(text)
  if (await within(ENGINE_TIMEOUT_MS, client.image.exists(name))) return true
  const isPulled = await within(
    timeoutMs,
    client.image.pull(name).then(() => client.image.exists(name)),
  )
  return isPulled ?? false
}

/** Resolves with null if the attempt takes longer, or fails. */
function within<T>(timeoutMs: number, attempt: Promise<T>): Promise<T | null> {
  return Promise.race([attempt.catch(() => null), sleep(timeoutMs, null)])
}
