import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

interface LockedPackage {
  readonly integrity?: string
  readonly dev?: boolean
  readonly devOptional?: boolean
  readonly optional?: boolean
  readonly hasInstallScript?: boolean
}

const readJson = async (file: string) => JSON.parse(await readFile(file, 'utf8'))
const manifest = await readJson('package.json')
const lock: { readonly packages: Readonly<Record<string, LockedPackage>> } = await readJson('package-lock.json')

const installed = Object.entries(lock.packages)
  .filter(([path]) => path !== '')
  .map(([path, details]) => ({ name: path.split('node_modules/').at(-1) ?? path, ...details }))

/** What an image or a user installs, the embedded Postgres apart. */
const running = installed.filter(({ dev, devOptional, optional }) => !dev && !devOptional && !optional)

test('every dependency is pinned to one version', () => {
  const { dependencies, devDependencies, optionalDependencies, overrides } = manifest
  const ranges = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies, ...overrides })

  expect(ranges.filter(([, range]) => !/^\d+\.\d+\.\d+(-[\w.-]+)?$/.test(String(range)))).toEqual([])
})

test('every locked package is held to its checksum', () => {
  expect(installed.filter(({ integrity }) => !/^sha512-/.test(integrity ?? ''))).toEqual([])
})

test('install scripts are allowed or refused by name, each one', () => {
  const named = Object.keys(manifest.allowScripts)
  const scripted = installed.filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name)

  expect(scripted.filter((name) => !named.includes(name))).toEqual([])
  expect(named.filter((name) => !scripted.includes(name))).toEqual([])
})

test('no package that runs has an install script', () => {
  expect(running.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.keys(manifest.dependencies)))
  expect(running.filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name)).toEqual([])
})

test('docs/decisions.md gives a reason for each dependency', async () => {
  const [, reasons = ''] = (await readFile('docs/decisions.md', 'utf8')).split('\n## Dependencies\n')
  const { dependencies, devDependencies } = manifest
  const names = Object.keys({ ...dependencies, ...devDependencies }).filter((name) => !name.startsWith('@types/'))

  expect(names.filter((name) => !reasons.includes(`\`${name}\``))).toEqual([])
})

test('npm finds the tree sound', async () => {
  await expect(promisify(execFile)('npm', ['ls', '--all'], { maxBuffer: 2 ** 26 })).resolves.toBeDefined()
})
