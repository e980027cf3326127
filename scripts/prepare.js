// Builds dist/ at `npm ci` and `npm pack`. An installation without the build tools, such as `npm ci --omit=dev
// --omit=optional`, must not fail: it says in one line what to do.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const BUILD_TOOLS = ['prisma', 'typescript', '@types/node', '@types/pg']

const missing = BUILD_TOOLS.filter((name) => !existsSync(new URL(`../node_modules/${name}/`, import.meta.url)))
if (missing.length === 0) {
  process.exitCode = spawnSync('npm run build', { shell: true, stdio: 'inherit' }).status ?? 1
} else {
  process.stdout.write(
    `dist/ is not rebuilt, because ${missing.join(', ')} cannot be found. To build it: npm ci --include=dev && npm run build\n`,
  )
}
