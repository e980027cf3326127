import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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
  readonly truthSql: string
}): Subject {
  const folder = inBench(`.venv/${peer.script.replace('.py', '')}`)
  const python = `${folder}/bin/python`
  return {
    name: peer.name,
    async prepare() {
      if (existsSync(`${folder}/ready`)) return null
      try {
        await run('python3', ['-m', 'venv', '--clear', folder])
        await run(python, ['-m', 'pip', 'install', '--quiet', ...peer.packages], { maxBuffer: 2 ** 26 })
        await run('touch', [`${folder}/ready`])
        return null
      } catch (error) {
        return `python3 or PyPI cannot be had: ${String(error).split('\n').at(-2) ?? error}`
      }
    },
    setUp: async () => {},
    command: ({ apiUrl, apiKey, databaseUrl }) => ({
      file: python,
      args: [inBench(`peers/${peer.script}`)],
      env: { SPIDRA_API_URL: apiUrl, SPIDRA_API_KEY: apiKey, DATABASE_URL: databaseUrl, BENCH_HOME: folder },
    }),
    truthSql: peer.truthSql,
  }
}
