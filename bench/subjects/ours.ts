import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Subject, truthOf } from './subject.js'

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

/** spidra-sync as it is deployed: `full` reads every page, `incremental` is the run of every five minutes. */
export function ours(mode: 'full' | 'incremental'): Subject {
  return {
    name: mode === 'full' ? 'spidra-sync' : 'spidra-sync, incremental',
    prepare: async () => null,
    async setUp(database) {
      await promisify(execFile)(process.execPath, [CLI, 'migrate'], { env: { DATABASE_URL: database.url } })
    },
    command: ({ apiUrl, apiKey, databaseUrl, concurrency, isLimited }) => ({
      file: process.execPath,
      args: [CLI, 'sync', '--json', ...(mode === 'full' ? ['--full'] : [])],
      env: {
        SPIDRA_API_URL: apiUrl,
        SPIDRA_API_KEY: apiKey,
        DATABASE_URL: databaseUrl,
        SYNC_CONCURRENCY: String(concurrency),
        LOG_LEVEL: 'warn',
        ...(isLimited ? {} : { RATE_LIMIT_REQUESTS: 'off' }),
      },
    }),
    truthSql: truthOf(
      'spidra.batch_jobs',
      ['status', 'total_urls', 'completed_count', 'failed_count'],
      'removed_at IS NULL',
    ),
  }
}
