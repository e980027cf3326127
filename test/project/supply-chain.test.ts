import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

interface LockedPackage {
  readonly version?: string
  readonly license?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly hasInstallScript?: boolean
}

const readJson = async (file: string) => JSON.parse(await readFile(file, 'utf8'))
const manifest = await readJson('package.json')
const lock: { readonly packages: Readonly<Record<string, LockedPackage>> } = await readJson('package-lock.json')

const installed = Object.entries(lock.packages)
  .filter(([path]) => path !== '')
  .map(([path, details]) => ({ name: path.split('node_modules/').at(-1) ?? path, ...details }))

/** What is in the bundle, and so in the image, by the licences that go along with it. */
const bundled = (await readFile('dist/LICENCES.txt', 'utf8'))
  .split(/\n-{80}\n\n/)
  .map((part) => /^(\S+) (\S+): ([^\n]+)\n(.*)/s.exec(part))
  .map((part) => {
    const [, name = 'unreadable', version = '', license = '', text = ''] = part ?? []
    return { name, version, license, text }
  })

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

test('what is bundled is locked, and sets nothing up at its installation', () => {
  const found = bundled.map(({ name, version }) =>
    installed.find((one) => one.name === name && one.version === version),
  )

  expect(bundled.map(({ name }) => name)).toContain('@prisma/client')
  expect(
    bundled.filter((_, place) => found[place]?.hasInstallScript !== undefined || found[place] === undefined),
  ).toEqual([])
})

test('the text of its licence goes along with each of them', () => {
  expect(bundled.filter(({ text }) => !/copyright|apache license/i.test(text)).map(({ name }) => name)).toEqual([])
})

test('docs/decisions.md gives a reason for each dependency', async () => {
  const [, reasons = ''] = (await readFile('docs/decisions.md', 'utf8')).split('\n## Dependencies\n')
  const { dependencies, devDependencies } = manifest
  const names = Object.keys({ ...dependencies, ...devDependencies }).filter((name) => !name.startsWith('@types/'))

  expect(names.filter((name) => !reasons.includes(`\`${name}\``))).toEqual([])
})

test('docs/licences.md lists what is bundled, by licence', async () => {
  const byLicence = new Map<string, string[]>()
  for (const { name, version, license } of bundled) {
    byLicence.set(license, [...(byLicence.get(license) ?? []), `${name} ${version}`])
  }
  const rows = [...byLicence].sort().map(([licence, names]) => `| ${licence} | ${names.sort().join(', ')} |`)
  const text = [
    '# Licences',
    '',
    'spidra-sync is under MIT. What is bundled with it (`npx vitest run test/supply-chain.test.ts -u` writes this page):',
    '',
    '| licence | packages |',
    '|---|---|',
    ...rows,
    '',
  ].join('\n')

  await expect(text).toMatchFileSnapshot('../docs/licences.md')
  expect([...byLicence.keys()].filter((licence) => !PERMISSIVE.has(licence))).toEqual([])
})

/** Licences that ask for no more than their own text. */
const PERMISSIVE: ReadonlySet<string> = new Set([
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  '(MIT OR CC0-1.0)',
])

test('npm finds the tree sound', async () => {
  await expect(promisify(execFile)('npm', ['ls', '--all'], { maxBuffer: 2 ** 26 })).resolves.toBeDefined()
})
