import { createHash } from 'node:crypto'
import { mkdir, readFile, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { BaseLogger } from 'pino'
import { holdServer } from './hold.js'
import {
  canReach,
  chooseServerUser,
  claimTemporaryDirectory,
  EmbeddedPostgresError,
  findPostgresBinaries,
  hasCode,
  temporaryDirectory,
} from './installation.js'
import { createData, type ServerPlace } from './server.js'

export interface EmbeddedPostgresOptions {
  /** Created if it does not exist. The data are in its subdirectory `data`. */
  readonly directory: string
  readonly log?: Pick<BaseLogger, 'debug' | 'info' | 'warn'>
  readonly signal?: AbortSignal
  /** Server settings in addition to the usual ones, such as `fsync: 'off'`. No effect when the server runs already. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A real Postgres on this machine, shared by all processes that have it open. */
export interface EmbeddedPostgres {
  /** Connection string of the superuser, password included. */
  readonly url: string
  /** Where the data are. Not under the given directory where the server's user cannot reach that. */
  readonly directory: string
  readonly port: number
  /** 18 for Postgres 18.4. */
  readonly majorVersion: number
  /** Leaves the server. The last process that leaves stops it. */
  close(): Promise<void>
}

/**
 * Opens the Postgres in `directory`: creates it if there is none, starts it if it is not running, and joins it otherwise.
 *
 * It listens on 127.0.0.1 only, on the same port every time. Its random password is in a file of the data directory.
 *
 * @throws {EmbeddedPostgresError}
 */
export async function openEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { directory, log, signal } = options
  try {
    const place = await findPlace(options)
    const password = await openData(place, signal)
    const { port, leave } = await holdServer(place, { password, log, signal })
    return {
      url: `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`,
      directory: place.data,
      port,
      majorVersion: place.binaries.majorVersion,
      close: leave,
    }
  } catch (cause) {
    if (!hasCode(cause, 'EACCES', 'EPERM', 'EROFS')) throw cause
    throw new EmbeddedPostgresError(
      `The embedded Postgres in ${directory} belongs to another user, or its directory is read-only. ` +
        'Run as that user, or set DATABASE_URL.',
      { code: 'not_permitted', cause },
    )
  }
}

/** Whether `directory` has the data of a Postgres. Creates and starts nothing. */
export async function hasEmbeddedPostgres(directory: string): Promise<boolean> {
  return (await lastStartOf(directory)) !== null
}

/** When the Postgres in `directory` was started last, in epoch milliseconds; null where there is none. Starts nothing. */
export async function lastStartOf(directory: string): Promise<number | null> {
  const real = await realpath(directory).catch(() => null)
  if (real === null) return null
  const wanted = join(real, 'data')
  for (const data of [wanted, join(temporaryDirectory(nameFor(wanted)), 'data')]) {
    const hasData = await stat(join(data, 'PG_VERSION')).then(
      () => true,
      // A file that we may not read exists.
      (error: unknown) => !hasCode(error, 'ENOENT', 'ENOTDIR'),
    )
    if (!hasData) continue
    const port = await stat(join(data, 'port')).catch(() => null)
    return port?.mtimeMs ?? 0
  }
  return null
}

async function findPlace({ directory, log, settings = {} }: EmbeddedPostgresOptions): Promise<ServerPlace> {
  await mkdir(directory, { recursive: true })
  const wanted = join(await realpath(directory), 'data')
  const user = await chooseServerUser(wanted)
  const binaries = await findPostgresBinaries(user)
  if (await canReach(join(wanted, '..'), user)) return { data: wanted, user, binaries, settings }

  const data = join(await claimTemporaryDirectory(nameFor(wanted)), 'data')
  log?.warn({ wanted, used: data }, 'database placed in another directory, because postgres cannot run as root')
  return { data, user, binaries, settings }
}

/** A name that depends only on the directory, so that its data are found again. */
function nameFor(wanted: string): string {
  return `spidra-sync-${createHash('sha256').update(wanted).digest('hex').slice(0, 12)}`
}

/** Creates the data directory if it does not exist, and returns the password. */
async function openData(place: ServerPlace, signal: AbortSignal | undefined): Promise<string> {
  const { data, binaries } = place
  const version = join(data, 'PG_VERSION')
  const read = () =>
    readFile(version, 'utf8').catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return null
      throw error
    })
  if ((await read()) === null) await createData(place, signal)
  const found = Number(await read())
  if (found === binaries.majorVersion) return readFile(join(data, 'password'), 'utf8')
  throw new EmbeddedPostgresError(
    `Postgres ${found} made ${data}, and this installation has Postgres ${binaries.majorVersion}, which cannot read ` +
      'it. Move the directory away: the next run fetches all jobs again.',
    { code: 'wrong_version' },
  )
}
