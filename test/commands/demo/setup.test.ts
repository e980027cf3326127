import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openDemoState } from '../../../src/commands/demo/setup.js'

const NOW = Date.UTC(2026, 2, 1)
const HOUR = 3_600_000

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'spidra-sync-demo-state-'))
  return { file: join(path, 'deep', 'demo.json'), [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

test('begins with an account that is born now, and a password nobody else may read', async () => {
  await using place = await folder()

  const state = await openDemoState(place.file, NOW)

  expect(state).toEqual({ epoch: NOW, seed: 1, readerPassword: expect.stringMatching(/^\S{16}$/), isNewAccount: true })
  expect((await stat(place.file)).mode & 0o777).toBe(0o600)
})

test('goes on with the same account for half a day', async () => {
  await using place = await folder()
  const { isNewAccount: _, ...first } = await openDemoState(place.file, NOW)

  expect(await openDemoState(place.file, NOW + 12 * HOUR - 1)).toEqual({ ...first, isNewAccount: false })
})

test('begins another account after half a day, and keeps the password', async () => {
  await using place = await folder()
  const { readerPassword } = await openDemoState(place.file, NOW)

  const later = { epoch: NOW + 12 * HOUR, seed: 2, readerPassword }
  expect(await openDemoState(place.file, NOW + 12 * HOUR)).toEqual({ ...later, isNewAccount: true })
  expect(JSON.parse(await readFile(place.file, 'utf8'))).toEqual(later)
})

test.each(['', 'nonsense', '{"epoch":1}', '{"epoch":"x","seed":1,"readerPassword":"p"}'])(
  'replaces a file that holds no state: %j',
  async (text) => {
    await using place = await folder()
    await openDemoState(place.file, NOW)
    await writeFile(place.file, text)

    expect(await openDemoState(place.file, NOW)).toMatchObject({ epoch: NOW, seed: 1, isNewAccount: true })
  },
)

test('a clock that was set back begins another account: its jobs would lie in the future', async () => {
  await using place = await folder()
  await openDemoState(place.file, NOW)

  expect(await openDemoState(place.file, NOW - HOUR)).toMatchObject({ epoch: NOW - HOUR, seed: 2, isNewAccount: true })
})
