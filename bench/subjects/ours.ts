import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import manifest from '../../package.json' with { type: 'json' }
import type { Command } from '../process-usage.js'
import { type Subject, type Target, truthOf } from './subject.js'

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const TABLE = 'spidra.batch_jobs'

/** spidra-sync as it is deployed: `sync --full` reads every page, `sync` is the incremental run of every five minutes. */
export const ours: Subject = {
  name: manifest.name,
  role: 'ours',
  versions: `${manifest.name} ${manifest.version}`,
  prepare: async () => null,
  async setUp(database) {
    await promisify(execFile)(process.execPath, [CLI, 'migrate'], { env: { DATABASE_URL: database.url } })
  },
  command: (target) => syncCommand(target, ['--full']),
  incremental: (target) => syncCommand(target, []),
  table: TABLE,
  truthSql: truthOf(TABLE, ['status', 'total_urls', 'completed_count', 'failed_count'], 'removed_at IS NULL'),
}

function syncCommand(target: Target, flags: readonly string[]): Command {
  const { apiUrl, apiKey, databaseUrl, isLimited } = target
  return {
    file: process.execPath,
    args: [CLI, 'sync', '--json', ...flags],
    env: {
      SPIDRA_API_URL: apiUrl,
      SPIDRA_API_KEY: apiKey,
      DATABASE_URL: databaseUrl,
      LOG_LEVEL: 'warn',
      ...(isLimited ? {} : { RATE_LIMIT_REQUESTS: 'off' }),
    },
  }
}
