// `npm run soak -- --minutes N [--seed N]`: test/soak/soak.slow.test.ts for as long as that, with its progress and a table of
// figures at the end. Exit code 1 if a claim does not hold; it is named.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError } from 'commander'

function positive(text) {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.')
  return value
}

const { minutes, seed } = new Command('soak')
  .description('Runs the service against a simulated account with every fault at once, and holds it to its claims.')
  .option('--minutes <number>', 'how long', positive, 20)
  .option('--seed <number>', 'of the faults and the list', positive, Math.floor(1 + Math.random() * 1_000_000))
  .parse()
  .opts()

const test = ['run', 'test/soak/soak.slow.test.ts', '--disable-console-intercept']
const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', ...test], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  env: { ...process.env, SOAK_MINUTES: String(minutes), SOAK_SEED: String(seed) },
  stdio: 'inherit',
})
process.exit(status ?? 1)
