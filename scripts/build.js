// Builds dist/ and is silent unless something fails: the first line of `npm test` says which Postgres it runs on.
import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { licencesOf } from './licences.js'

const root = fileURLToPath(new URL('..', import.meta.url))

// Packages of CommonJS that end up in a module still ask for these three.
const COMMONJS = `import { createRequire as $createRequire } from 'node:module'
const require = $createRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname`

function generateClient() {
  const prisma = ['node_modules/prisma/build/index.js', 'generate']
  const { status, stdout, stderr } = spawnSync(process.execPath, prisma, { cwd: root, encoding: 'utf8' })
  if (status === 0) return
  process.stderr.write(`${prisma.join(' ')} failed\n${stdout}${stderr}`)
  process.exit(1)
}

generateClient()
// A chunk that is no longer made must not live on.
rmSync(new URL('../dist', import.meta.url), { recursive: true, force: true })
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['src/cli.ts'],
  outdir: 'dist',
  // As deep as src/db/, so that what reads prisma/ finds it.
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  // What a command does not need is not loaded, as among modules.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  banner: { js: COMMONJS },
  // Asked for by pg, and had by nobody.
  external: ['pg-native'],
  keepNames: true,
  metafile: true,
  logLevel: 'warning',
}).catch(() => process.exit(1))
writeFileSync(new URL('../dist/LICENCES.txt', import.meta.url), licencesOf(Object.keys(metafile.inputs), root))
