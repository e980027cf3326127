import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installOnce } from './installed.js'
import type { Subject } from './subject.js'

const run = promisify(execFile)
const inBench = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** A peer from PyPI, in a virtual environment of its own under `bench/.venv/`, which is made where it is not there. */
export function pythonPeer(peer: {
  readonly name: string
  /** As pip reads them, pinned. */
  readonly packages: readonly string[]
  /** In `bench/peers/`. */
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
      // Where it keeps its state: that of earlier benchmarks must not help, nor pile up.
      await rm(`${folder}/data`, { recursive: true, force: true })
      return installOnce(folder, peer.packages, async () => {
        await run('python3', ['-m', 'venv', folder])
        await run(python, ['-m', 'pip', 'install', '--quiet', ...peer.packages], { maxBuffer: 2 ** 26 })
      })
    },
    setUp: async () => {},
    command: ({ apiUrl, apiKey, databaseUrl }) => ({
      file: python,
      args: [inBench(`peers/${peer.script}`)],
      env: { SPIDRA_API_URL: apiUrl, SPIDRA_API_KEY: apiKey, DATABASE_URL: databaseUrl, BENCH_DATA: `${folder}/data` },
    }),
    table: peer.table,
    truthSql: peer.truthSql,
  }
}
