import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import type { PostgresBinaries } from './installation.js'
import { EmbeddedPostgresError, type EmbeddedPostgresErrorCode, hasCode, type ServerUser } from './installation.js'

/** A data directory, and what is needed to run a server on it. */
export interface ServerPlace {
  /** Path of the data directory, without symbolic links. It contains our files `password` and `port`. */
  readonly data: string
  readonly user: ServerUser
  readonly binaries: PostgresBinaries
  /** Server settings in addition to the usual ones, such as `fsync: 'off'`. */
  readonly settings: Readonly<Record<string, string>>
}

/** The first port that is tried. Below the range from which systems take ports for outgoing connections. */
const FIRST_PORT = 15432

/** Postgres' lock file. Its lines: process number, data directory, start time, port. Written line by line during the start. */
const LOCK_FILE = 'postmaster.pid'

/** Settings for a single worker. Errors are logged without their statement, which may contain data. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  shared_buffers: '64MB',
  max_connections: '50',
  log_checkpoints: 'off',
  log_min_error_statement: 'panic',
}

/** Creates the data directory, completely or not at all. Of several processes that try at once, one succeeds. */
export async function createData(place: ServerPlace, signal?: AbortSignal): Promise<void> {
  const { data, user, binaries, settings } = place
  const staging = join(dirname(data), `new-${crypto.randomUUID()}`)
  const password = join(staging, 'password')
  try {
    await mkdir(staging, { mode: 0o700 })
    await writeFile(password, randomBytes(24).toString('base64url'), { mode: 0o600 })
    if (user.uid !== undefined && user.gid !== undefined) {
      await chown(staging, user.uid, user.gid)
      await chown(password, user.uid, user.gid)
    }
    const made = join(staging, 'data')
    const access = ['--username=postgres', `--pwfile=${password}`, '--auth=scram-sha-256']
    // Postgres' builtin locale sorts text in the same way on every system.
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
    const sync = settings.fsync === 'off' ? ['--no-sync'] : []
    await run(binaries.initdb, ['-D', made, ...access, ...locale, ...sync], { user, code: 'not_created', signal })
    await rename(password, join(made, 'password'))
    await rename(made, data)
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error
  } finally {
    // initdb may still be writing when it is stopped.
    await rm(staging, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  }
}

/**
 * Starts the server in a session of its own, so that Ctrl-C in a terminal reaches us and not the server, and waits
 * until it takes connections. Fails when another process has just started it.
 */
export async function startServer({ data, user, binaries, settings }: ServerPlace, port: number): Promise<void> {
  const all = Object.entries({ ...SETTINGS, ...settings, port: String(port) })
  const options = all.map(([name, value]) => `-c ${name}=${value}`).join(' ')
  const log = join(data, 'postgres.log')
  const start = ['start', '-D', data, '-l', log, '-o', options, '-w', '-t', '30']
  await run(binaries.pgCtl, start, { user, code: 'not_started', log })
  await writeFile(join(data, 'port'), String(port))
}

/** Stops the server, whoever started it: open transactions are rolled back, connections closed. */
export async function stopServer(place: ServerPlace): Promise<void> {
  const stop = ['stop', '-D', place.data, '-m', 'fast', '-w', '-t', '30']
  const asked = await readLockFile(place)
  try {
    await run(place.binaries.pgCtl, stop, { user: place.user, code: 'not_stopped' })
  } catch (error) {
    // Where the lock file is that of another server by now, or is incomplete, the server that was to stop has ended.
    if (asked !== null && (await readLockFile(place))?.pid === asked.pid) throw error
  }
}

/** The port in the server's lock file; null when there is none yet. The server may be dead nevertheless. */
export async function readServerPort(place: ServerPlace): Promise<number | null> {
  return (await readLockFile(place))?.port ?? null
}

/**
 * Whether a server runs on these data, ready or not. Only Linux can tell; elsewhere it returns false, and a start fails
 * where a server runs.
 *
 * Postgres itself only checks whether the process number in its lock file is in use. After `kill -9` in a container another
 * process often has that number, which would keep the server from starting for ever. Such a lock file is removed.
 */
export async function isRunning(place: ServerPlace): Promise<boolean> {
  const found = await readLockFile(place)
  if (found === null) return false
  const command = await readFile(`/proc/${found.pid}/cmdline`, 'utf8').catch(() => null)
  if (command === null) return false
  if (command.split('\0').includes(place.data)) return true
  const isSame = (await readLockFile(place))?.pid === found.pid
  if (isSame) await rm(join(place.data, LOCK_FILE), { force: true })
  return false
}

/** Chooses the port of the last start, so that saved connections keep working; the next free port when it is in use. */
export async function choosePort({ data }: ServerPlace): Promise<{ port: number; kept: number | null }> {
  const kept = Number(await readFile(join(data, 'port'), 'utf8').catch(() => '')) || null
  let port = kept ?? FIRST_PORT
  while (!(await isFree(port))) port += 1
  return { port, kept }
}

/** Reads process number and port; null where there is no lock file, or it is still empty. */
async function readLockFile({ data }: ServerPlace): Promise<{ pid: number; port: number | null } | null> {
  const text = await readFile(join(data, LOCK_FILE), 'utf8').catch(() => '')
  const [pid, , , port] = text.split('\n').map(Number)
  return pid ? { pid, port: port || null } : null
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}

interface RunOptions {
  readonly user: ServerUser
  /** Code of the error that is thrown when the program fails. */
  readonly code: EmbeddedPostgresErrorCode
  readonly signal?: AbortSignal | undefined
  /** A log file whose last lines say more than the output of the program. */
  readonly log?: string
}

/** Runs a program of Postgres. It gets nothing of our environment, which contains secrets. */
async function run(file: string, args: readonly string[], { user, code, signal, log }: RunOptions): Promise<void> {
  const env = { LC_ALL: 'C', TZ: 'UTC' }
  const child = spawn(file, args, { ...user, env, cwd: '/', detached: true, windowsHide: true, signal })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  const exitCode = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (exitCode === 0) return
  const said = log === undefined ? output : await readFile(log, 'utf8').catch(() => output)
  const lastLines = said.trim().split('\n').slice(-8).join('\n')
  throw new EmbeddedPostgresError(`The embedded Postgres failed (${args[0]}):\n${lastLines}`, { code })
}
