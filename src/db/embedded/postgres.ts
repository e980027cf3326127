import { createHash } from 'node:crypto'
import { mkdir, readFile, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { BaseLogger } from 'pino'
import { findPostgresBinaries } from './binaries.js'
import { EmbeddedPostgresError } from './error.js'
import { holdServer } from './hold.js'
import { createData, type ServerPlace } from './server.js'
import { canReach, chooseServerUser, claimTemporaryDirectory, hasCode, temporaryDirectory } from './server-user.js'

export interface EmbeddedPostgresOptions {
  /** Created if it is not there. The data lie in its subdirectory `data`. */
  readonly directory: string
  readonly log?: Pick<BaseLogger, 'debug' | 'info' | 'warn'>
  readonly signal?: AbortSignal
  /** Server settings beside the usual ones, such as `fsync: 'off'`; of no effect when the server runs already. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A real Postgres on this machine, shared by all processes that have it open. */
export interface EmbeddedPostgres {
  /** Connection string of the superuser, password included. */
  readonly url: string
  /** Where the data are: not under the directory asked for when the server's user cannot reach that. */
  readonly directory: string
  readonly port: number
  /** 18 for Postgres 18.4. */
  readonly majorVersion: number
  /** Leaves the server. The last process to leave stops it. */
  close(): Promise<void>
}

/**
 * Opens the Postgres in `directory`: creates it the first time, starts it if it is not running, else joins it.
 *
 * It listens on 127.0.0.1 only, on the same port every time, with a random password kept in the data directory.
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
      `The embedded Postgres in ${directory} belongs to another user, or cannot be written there. ` +
        'Run as that user, or set DATABASE_URL.',
      { code: 'not_permitted', cause },
    )
  }
}

/** Whether a Postgres was ever opened in `directory`. Creates and starts nothing. */
export async function hasEmbeddedPostgres(directory: string): Promise<boolean> {
  const real = await realpath(directory).catch(() => null)
  if (real === null) return false
  const wanted = join(real, 'data')
  const versions = [wanted, join(temporaryDirectory(nameFor(wanted)), 'data')].map((data) => join(data, 'PG_VERSION'))
  const found = await Promise.all(
    // What may not be looked at is there.
    versions.map((version) => stat(version).then(Boolean, (error: unknown) => !hasCode(error, 'ENOENT', 'ENOTDIR'))),
  )
  return found.includes(true)
}

async function findPlace({ directory, log, settings = {} }: EmbeddedPostgresOptions): Promise<ServerPlace> {
  await mkdir(directory, { recursive: true })
  const wanted = join(await realpath(directory), 'data')
  const user = await chooseServerUser(wanted)
  const binaries = await findPostgresBinaries(user)
  if (await canReach(join(wanted, '..'), user)) return { data: wanted, user, binaries, settings }

  const data = join(await claimTemporaryDirectory(nameFor(wanted)), 'data')
  log?.warn({ wanted, used: data }, 'database moved to where the server may go, as it cannot run as root')
  return { data, user, binaries, settings }
}

/** The same for the same directory, so that its data are found again. */
function nameFor(wanted: string): string {
  return `spidra-sync-${createHash('sha256').update(wanted).digest('hex').slice(0, 12)}`
}

/** Makes the data directory if it is not there, and returns the password. */
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
    `${data} was made by Postgres ${found}, and this installation brings ${binaries.majorVersion}, which cannot read ` +
      'it. Move the directory away: the next run fetches all jobs again.',
    { code: 'wrong_version' },
  )
}
