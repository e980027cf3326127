import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { installOnce } from '../../bench/subjects/peers.js'

let parent: string
let folder: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'spidra-sync-installed-'))
  folder = join(parent, 'peer')
})

afterEach(() => rm(parent, { recursive: true, force: true }))

/** An installation that creates a file in the folder, and counts its calls. */
function installer(file: string) {
  let times = 0
  return {
    get times() {
      return times
    },
    async install() {
      times += 1
      await mkdir(folder, { recursive: true })
      await writeFile(join(folder, file), '')
    },
  }
}

test('installs once, and again into an empty folder when the pinned versions change', async () => {
  const [one, two] = [installer('one'), installer('two')]

  expect(await installOnce(folder, ['peer==1'], one.install)).toBeNull()
  expect(await installOnce(folder, ['peer==1'], one.install)).toBeNull()
  expect(one.times).toBe(1)
  expect(await installOnce(folder, ['peer==2'], two.install)).toBeNull()
  expect(await readdir(folder)).toEqual(['installed', 'two'])
})

test('returns the reason of a failure in one line, and tries again the next time', async () => {
  const failing = () =>
    Promise.reject(Object.assign(new Error('Command failed: pip'), { stderr: 'a\nERROR: no network\n' }))
  const good = installer('one')

  expect(await installOnce(folder, ['peer==1'], failing)).toBe('it could not be installed: ERROR: no network')
  expect(await installOnce(folder, ['peer==1'], good.install)).toBeNull()
  expect(good.times).toBe(1)
})
