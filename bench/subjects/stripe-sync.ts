import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installOnce } from './installed.js'
import type { Subject } from './subject.js'

const run = promisify(execFile)
const FOLDER = fileURLToPath(new URL('../.venv/stripe_sync', import.meta.url))
/** It asks for a stripe above 18 beside it, whose listing of products our list stands in for. */
const PACKAGES = ['@supabase/stripe-sync-engine@0.48.5', 'stripe@20.4.1']

/** The nearest relative of ours on npm (https://github.com/supabase/stripe-sync-engine), on an equivalent workload. */
export const stripeSync: Subject = {
  name: 'stripe-sync-engine, equivalent',
  role: 'peer',
  versions: PACKAGES.map((text) => text.replace(/@([^@]*)$/, ' $1')).join(', '),
  prepare: () =>
    installOnce(FOLDER, PACKAGES, async () => {
      await mkdir(FOLDER, { recursive: true })
      await writeFile(`${FOLDER}/package.json`, '{ "private": true }\n')
      await run('npm', ['install', '--silent', '--ignore-scripts', ...PACKAGES], { cwd: FOLDER })
    }),
  setUp: async () => {},
  command: ({ apiUrl, apiKey, databaseUrl }) => ({
    file: process.execPath,
    args: [fileURLToPath(new URL('../peers/stripe-sync.mjs', import.meta.url))],
    env: { SPIDRA_API_URL: apiUrl, SPIDRA_API_KEY: apiKey, DATABASE_URL: databaseUrl, BENCH_HOME: FOLDER },
  }),
  table: 'stripe.products',
  truthSql: 'SELECT id AS uuid, name AS fields FROM stripe.products',
}
