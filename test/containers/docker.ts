import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FILES = ['compose.yaml', 'test/containers/compose.simulator.yaml']
/** A project of its own, so that containers and volumes of a user are not touched. */
const PROJECT = 'spidra-sync-test'

const run = promisify(execFile)

/** Runs `docker` and gives what it printed. Throws, with its output, when it fails. */
export async function docker(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('docker', args, { cwd: ROOT, maxBuffer: 2 ** 26, env: buildEnv() })
  return stdout.trim()
}

/** The same for `docker compose` on the project's compose file, with a simulator beside the worker. */
export async function compose(...args: readonly string[]): Promise<string> {
  const [file, ...first] = (await hasPlugin()) ? ['docker', 'compose'] : ['docker-compose']
  const files = FILES.flatMap((name) => ['--file', name])
  const all = [...first, '--project-name', PROJECT, ...files, ...args]
  const { stdout } = await run(file, all, { cwd: ROOT, maxBuffer: 2 ** 26, env: buildEnv() })
  return stdout.trim()
}

/** One row of one value from the database beside the worker. */
export function query(sql: string): Promise<string> {
  return compose('exec', '-T', 'postgres', 'psql', '-U', 'spidra', '-At', '-c', sql)
}

/** The name of a service's container. */
export function containerOf(service: string): Promise<string> {
  return compose('ps', '-q', service)
}

function buildEnv(): NodeJS.ProcessEnv {
  const port = process.env.TEST_HTTP_PORT ?? '18080'
  return { ...process.env, SPIDRA_API_KEY: 'spd_demo', HTTP_PORT: port }
}

async function hasPlugin(): Promise<boolean> {
  return run('docker', ['compose', 'version']).then(
    () => true,
    () => false,
  )
}
