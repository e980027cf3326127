import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { readEnvFile, warningsAboutFile } from '../../src/config/env-file.js'
import { ConfigError } from '../../src/config/errors.js'

test.each([
  ['SPIDRA_API_KEY=spd_canary', 0o644, 0o755, true],
  ['DATABASE_URL=postgres://u:canary@h/d', 0o604, 0o711, true],
  ['HTTPS_PROXY=http://u:canary@h', 0o644, 0o755, true],
  ['SPIDRA_API_KEY=spd_canary', 0o640, 0o755, false],
  ['SPIDRA_API_KEY=spd_canary', 0o600, 0o755, false],
  ['SPIDRA_API_KEY=spd_canary', 0o644, 0o750, false],
  ['DATABASE_URL=postgres://u@h/d\nSPIDRA_API_KEY=', 0o644, 0o755, false],
])(
  'an .env file of %j, mode %o in a directory of mode %o: warns that everybody can read secrets: %s',
  async (text, mode, way, warns) => {
    await using file = await temporaryFile(text)
    await chmod(file.path, mode)
    await chmod(dirname(file.path), way)

    const warnings = warningsAboutFile(file.path, [])

    expect(warnings).toEqual(warns ? [expect.stringMatching(/^\S+ holds secrets.*chmod 600 \S+$/)] : [])
    expect(warnings.join()).not.toContain('canary')
  },
)

test('a missing .env file raises no warning', () => {
  expect(warningsAboutFile(join(tmpdir(), 'no-such-directory', '.env'), [])).toEqual([])
})

test('an .env file is read, byte order mark and quotes included', async () => {
  await using file = await temporaryFile('\uFEFFSPIDRA_API_KEY="a # b"\nHTTP_PORT=off # none\n')

  expect(readEnvFile(file.path)).toEqual({ SPIDRA_API_KEY: 'a # b', HTTP_PORT: 'off' })
})

test('an .env file may be missing', () => {
  expect(readEnvFile(join(tmpdir(), 'no-such-directory', '.env'))).toEqual({})
})

test('an .env file that cannot be read is a ConfigError with its name', () => {
  expect(() => readEnvFile(tmpdir())).toThrow(ConfigError)
  expect(() => readEnvFile(tmpdir())).toThrow(`${tmpdir()} cannot be read (EISDIR)`)
})

async function temporaryFile(text: string) {
  const directory = await mkdtemp(join(tmpdir(), 'spidra-sync-'))
  const path = join(directory, '.env')
  await writeFile(path, text)
  return { path, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) }
}
