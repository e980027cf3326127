import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { leaksIn, secretsIn } from './leaks.js'

/** The built program, as users run it. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

/** Secrets that no output may contain, at any log level. */
export const API_KEY = 'spd_e2e-a-key-that-nobody-may-see'
export const DATABASE_PASSWORD = 'e2e-a-password-that-nobody-may-see'

/**
 * The most that an immediate end takes on a busy machine, in milliseconds. It is half of the default SHUTDOWN_GRACE_MS,
 * so a shutdown that had to wait for the end of the grace period takes longer.
 */
export const AT_ONCE_MS = 5_000

/** The secrets that processes have shown; `no-secrets.ts` fails the test file that started them. */
export const leaks: string[] = []

export interface CliOptions {
  /** Added to `PATH` and `HOME`, the only variables that the process inherits. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Default: a new folder, removed when the process is disposed of. */
  readonly cwd?: string
  /** Flags for Node itself. */
  readonly nodeFlags?: readonly string[]
}

/** How a process ended, and its output. */
export interface CliResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A running process. Disposing of it kills it if it still runs. */
export interface CliProcess extends AsyncDisposable {
  readonly pid: number
  readonly stdout: string
  readonly stderr: string
  /** Resolves when it has ended and closed its output. */
  readonly ended: Promise<CliResult>
  /** Resolves as soon as the output so far, of either stream, matches. Rejects if the process ends without a match. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  kill(signal: NodeJS.Signals): void
  /** Closes our end of its standard output, as `head` does. */
  stopReading(): void
}

/** In a command that ends after a second, V8 spends a fifth of the CPU on optimizing code for later. */
const WITHOUT_OPTIMIZING = ['--no-opt', '--liftoff-only', '--wasm-lazy-compilation']

/** Runs `spidra-sync` and waits for its end. Without `nodeFlags`, V8 compiles as little as it can, except in a demo. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const nodeFlags = args[0] === 'demo' ? [] : WITHOUT_OPTIMIZING
  await using cli = await startCli(args, { nodeFlags, ...options })
  return await cli.ended
}

/** Starts `spidra-sync`. */
export async function startCli(args: readonly string[], options: CliOptions = {}): Promise<CliProcess> {
  return startProcess(process.execPath, [...(options.nodeFlags ?? []), CLI, ...args], options)
}

/** Starts any program in the same way, such as a shell that pipes our output. */
export async function startProcess(
  file: string,
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliProcess> {
  const folder = options.cwd === undefined ? await createFolder() : null
  const { PATH, HOME } = process.env
  const child = spawn(file, args, {
    cwd: options.cwd ?? folder?.path,
    env: { PATH, HOME, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { stdout: '', stderr: '' }
  const secrets = [API_KEY, DATABASE_PASSWORD, ...secretsIn(options.env ?? {})]
  const ended = collect(child, said, secrets)
  ended.catch(() => undefined)
  return {
    pid: child.pid ?? 0,
    get stdout() {
      return said.stdout
    },
    get stderr() {
      return said.stderr
    },
    ended,
    says: (pattern) => waitFor(child, said, pattern, ended),
    kill: (signal) => void child.kill(signal),
    stopReading: () => void child.stdout.destroy(),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended.catch(() => undefined)
      await folder?.[Symbol.asyncDispose]()
    },
  }
}

function collect(
  child: ChildProcess,
  said: { stdout: string; stderr: string },
  secrets: readonly string[],
): Promise<CliResult> {
  child.stdout?.setEncoding('utf8').on('data', (text) => (said.stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text) => (said.stderr += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const command = child.spawnargs.slice(1).join(' ')
      leaks.push(...leaksIn(`${said.stdout}\n${said.stderr}`, secrets).map((secret) => `${command} showed ${secret}`))
      resolve({ code, signal, ...said })
    })
  })
}

async function waitFor(
  child: ChildProcess,
  said: { readonly stdout: string; readonly stderr: string },
  pattern: RegExp,
  ended: Promise<CliResult>,
): Promise<RegExpExecArray> {
  const match = () => pattern.exec(said.stdout) ?? pattern.exec(said.stderr)
  const found = new Promise<RegExpExecArray>((resolve) => {
    const check = () => {
      const result = match()
      if (result === null) return
      child.stdout?.off('data', check)
      child.stderr?.off('data', check)
      resolve(result)
    }
    child.stdout?.on('data', check)
    child.stderr?.on('data', check)
    check()
  })
  const missed = ended.then(({ code, stdout, stderr }) => {
    const result = match()
    if (result !== null) return result
    throw new Error(`ended with ${code}, and its output never matched ${pattern}:\n${stdout}${stderr}`)
  })
  return Promise.race([found, missed])
}

/** A working folder. A Postgres that still runs in it at the end is stopped, and fails the test. */
export interface Folder extends AsyncDisposable {
  readonly path: string
}

export async function createFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'spidra-sync-cli-'))
  await chmod(path, 0o755) // if run by root: the embedded server runs as another user, who must be able to enter
  return {
    path,
    async [Symbol.asyncDispose]() {
      const pids = await embeddedPostgresIn(path)
      for (const pid of pids) process.kill(pid, 'SIGINT')
      await rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
      expect(pids, 'Postgres processes left behind').toEqual([])
    },
  }
}

/** Process ids of the embedded servers with data in the folder: those of the worker and of both demos. */
export async function embeddedPostgresIn(folder: string): Promise<number[]> {
  const owners = ['', 'demo', 'demo-fleet']
  const files = owners.map((owner) => join(folder, '.spidra-sync', owner, 'data', 'postmaster.pid'))
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')))
  return texts.map((text) => Number.parseInt(text, 10)).filter((pid) => isAlive(pid))
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
