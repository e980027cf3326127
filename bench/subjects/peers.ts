import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { environmentOf, type Subject, truthOf } from './subject.js'

const run = promisify(execFile)
const inBench = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** PyAirbyte (https://github.com/airbytehq/PyAirbyte) with a declarative manifest and its Postgres cache. */
export const airbyte = pythonPeer({
  name: 'PyAirbyte',
  packages: ['airbyte==0.71.3'],
  script: 'airbyte_peer.py',
  table: 'spidra_airbyte.batch_jobs',
  truthSql: truthOf('spidra_airbyte.batch_jobs', ['status', '"totalurls"', '"completedcount"', '"failedcount"']),
})

/** dlt (https://dlthub.com): its REST API source into Postgres, merged by uuid with its default strategy. */
export const dlt = pythonPeer({
  name: 'dlt',
  packages: ['dlt[postgres]==1.31.0'],
  script: 'dlt_peer.py',
  table: 'spidra_dlt.batch_jobs',
  truthSql: truthOf('spidra_dlt.batch_jobs', ['status', 'total_urls', 'completed_count', 'failed_count']),
})

/** A Singer tap on the SDK of Meltano (https://sdk.meltano.com), piped into MeltanoLabs' target-postgres. */
export const singer = pythonPeer({
  name: 'Singer',
  packages: ['singer-sdk==0.54.9', 'meltanolabs-target-postgres==0.8.1'],
  script: 'singer_peer.py',
  table: 'spidra_singer.batch_jobs',
  truthSql: truthOf('spidra_singer.batch_jobs', ['status', '"totalUrls"', '"completedCount"', '"failedCount"']),
})

const FOLDER = inBench('.venv/stripe_sync')
/** The engine needs the stripe package, version 19 or later. Its list of products is replaced by our list. */
const PACKAGES = ['@supabase/stripe-sync-engine@0.48.5', 'stripe@20.4.1']

/** The most similar package on npm (https://github.com/supabase/stripe-sync-engine), on an equivalent workload. */
export const stripeSync: Subject = {
  name: 'stripe-sync-engine, equivalent',
  role: 'peer',
  versions: PACKAGES.map((text) => text.replace(/@([^@]*)$/, ' $1')).join(', '),
  prepare: () =>
    installOnce(FOLDER, PACKAGES, async () => {
      await mkdir(FOLDER, { recursive: true })
      await writeFile(`${FOLDER}/package.json`, '{ "private": true }\n')
      await run('npm', ['install', '--silent', '--ignore-scripts', ...PACKAGES], { cwd: FOLDER })
    }),
  setUp: async () => {},
  command: (target) => ({
    file: process.execPath,
    args: [inBench('peers/stripe-sync.mjs')],
    env: { ...environmentOf(target), BENCH_HOME: FOLDER },
  }),
  table: 'stripe.products',
  truthSql: 'SELECT id AS uuid, name AS fields FROM stripe.products',
}

/** Creates a peer from PyPI, in its own virtual environment under `bench/.venv/`, which `prepare` installs if needed. */
function pythonPeer(peer: {
  readonly name: string
  /** Requirements for pip, pinned. */
  readonly packages: readonly string[]
  /** A file in `bench/peers/`. */
  readonly script: string
  readonly table: string
  readonly truthSql: string
}): Subject {
  const folder = inBench(`.venv/${peer.script.replace('.py', '')}`)
  const python = `${folder}/bin/python`
  return {
    name: peer.name,
    role: 'peer',
    versions: peer.packages.map((text) => text.replace(/\[.*\]/, '').replace('==', ' ')).join(', '),
    async prepare() {
      // Its state of earlier benchmarks: it must neither speed up this one nor pile up.
      await rm(`${folder}/data`, { recursive: true, force: true })
      return installOnce(folder, peer.packages, async () => {
        await run('python3', ['-m', 'venv', folder])
        await run(python, ['-m', 'pip', 'install', '--quiet', ...peer.packages], { maxBuffer: 2 ** 26 })
      })
    },
    setUp: async () => {},
    command: (target) => ({
      file: python,
      args: [inBench(`peers/${peer.script}`)],
      env: { ...environmentOf(target), BENCH_DATA: `${folder}/data` },
    }),
    table: peer.table,
    truthSql: peer.truthSql,
  }
}

/**
 * Installs packages into `folder` unless the same ones are installed there already, and records them in a file there.
 * Returns null if they are installed, else the reason in one line.
 */
export async function installOnce(
  folder: string,
  packages: readonly string[],
  install: () => Promise<unknown>,
): Promise<string | null> {
  const note = `${folder}/installed`
  const wanted = `${packages.join('\n')}\n`
  if ((await readFile(note, 'utf8').catch(() => '')) === wanted) return null
  try {
    await rm(folder, { recursive: true, force: true })
    await install()
    await writeFile(note, wanted)
    return null
  } catch (error) {
    return `it could not be installed: ${lastLineOf(error)}`
  }
}

function lastLineOf(error: unknown): string {
  const said = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr) : ''
  const lines = `${error}\n${said}`.split('\n').filter((line) => line.trim() !== '')
  return lines.at(-1)?.trim() ?? ''
}
