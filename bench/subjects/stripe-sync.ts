import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Subject } from './subject.js'

const run = promisify(execFile)
const FOLDER = fileURLToPath(new URL('../.venv/stripe_sync', import.meta.url))
const PACKAGES = ['@supabase/stripe-sync-engine@0.48.5', 'stripe@20.4.1']

/** The nearest relative of ours on npm (https://github.com/supabase/stripe-sync-engine), on an equivalent workload. */
export const stripeSync: Subject = {
  name: 'stripe-sync-engine, equivalent',
  async prepare() {
    if (existsSync(`${FOLDER}/node_modules/stripe`)) return null
    try {
      await mkdir(FOLDER, { recursive: true })
      await writeFile(`${FOLDER}/package.json`, '{ "private": true }\n')
      await run('npm', ['install', '--silent', '--ignore-scripts', ...PACKAGES], { cwd: FOLDER })
      return null
    } catch (error) {
      return `npm cannot install it: ${String(error).split('\n', 1)[0]}`
    }
  },
  setUp: async () => {},
  command: ({ apiUrl, apiKey, databaseUrl }) => ({
    file: process.execPath,
    args: [fileURLToPath(new URL('../peers/stripe-sync.mjs', import.meta.url))],
    env: { SPIDRA_API_URL: apiUrl, SPIDRA_API_KEY: apiKey, DATABASE_URL: databaseUrl, BENCH_HOME: FOLDER },
  }),
  truthSql: 'SELECT id AS uuid, name AS fields FROM stripe.products',
}
