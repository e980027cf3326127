import { chmod, lstat, mkdir, stat } from 'node:fs/promises'
import { platform, tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { EmbeddedPostgresError } from './error.js'

/** Whom the server runs as; empty: as ourselves. Ready for the options of `spawn`. */
export interface ServerUser {
  readonly uid?: number
  readonly gid?: number
}

/** User and group `nobody`: they exist wherever a root needs them, so that none has to be created. */
const NOBODY = 65534

/**
 * Postgres refuses to run as root. For root it runs as whoever owns the data already, else as nobody.
 * On Windows `uid` is -1, and the server drops its rights by itself.
 */
export async function chooseServerUser(dataDirectory: string): Promise<ServerUser> {
  if (userInfo().uid !== 0) return {}
  const owner = await stat(dataDirectory).catch(() => null)
  return owner === null || owner.uid === 0 ? { uid: NOBODY, gid: NOBODY } : { uid: owner.uid, gid: owner.gid }
}

/** Whether `user` may enter the existing directory `path`: a home directory of mode 700 on the way forbids it. */
export async function canReach(path: string, user: ServerUser): Promise<boolean> {
  if (user.uid === undefined) return true
  const { mode, uid, gid } = await stat(path)
  const execute = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
  if ((mode & execute) === 0) return false
  const parent = dirname(path)
  return parent === path || canReach(parent, user)
}

/**
 * A directory of our own under the temporary directory, which survives a reboot where the system has such a place.
 * Anyone can make a directory of that name there first, so one of another owner is refused.
 */
export async function claimTemporaryDirectory(name: string): Promise<string> {
  const { uid } = userInfo()
  const directory = temporaryDirectory(name)
  await mkdir(directory).catch((error: unknown) => {
    if (!hasCode(error, 'EEXIST')) throw error
  })
  const found = await lstat(directory)
  if (found.isDirectory() && (uid === -1 || found.uid === uid)) {
    await chmod(directory, 0o755) // whatever the umask: the server's user has to pass
    return directory
  }
  throw new EmbeddedPostgresError(`${directory} belongs to another user: remove it, or set DATABASE_URL.`, {
    code: 'not_permitted',
  })
}

/** Where that directory is, or would be. */
export function temporaryDirectory(name: string): string {
  const { uid } = userInfo()
  return join(platform() === 'linux' ? '/var/tmp' : tmpdir(), uid > 0 ? `${name}-${uid}` : name)
}

/** Whether `error` is Node's, with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)
}
