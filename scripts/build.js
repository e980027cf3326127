// Builds dist/ and is silent unless something fails: the first line of `npm test` says which Postgres it runs on.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

function run(script, ...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { cwd: root, encoding: 'utf8' })
  if (status === 0) return
  process.stderr.write(`${script} ${args.join(' ')} failed\n${stdout}${stderr}`)
  process.exit(1)
}

run('node_modules/prisma/build/index.js', 'generate')
// A file that was deleted from src/ must not live on in dist/.
rmSync(new URL('../dist', import.meta.url), { recursive: true, force: true })
run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')
