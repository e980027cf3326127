import { readFile, rm, writeFile } from 'node:fs/promises'

/**
 * Runs an installation into `folder` unless the same packages were installed there before, and notes them there.
 * Null: they are there; else why they are not, in one line.
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
