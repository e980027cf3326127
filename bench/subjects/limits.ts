import { chmod, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import manifest from '../../package.json' with { type: 'json' }
import { type Subject, type Target, truthOf } from './subject.js'

const script = (name: string) => fileURLToPath(new URL(`../peers/${name}`, import.meta.url))

/** Fetches and parses every page, and stores nothing: the limit of the reading side. */
export const fetchLimit: Subject = {
  name: 'limit: fetch and JSON.parse',
  role: 'limit',
  versions: `undici ${manifest.devDependencies.undici}`,
  prepare: async () => null,
  setUp: async () => {},
  command: ({ apiUrl, apiKey, concurrency }) => ({
    file: process.execPath,
    args: ['--import', 'tsx', script('fetch-limit.ts')],
    env: { SPIDRA_API_URL: apiUrl, SPIDRA_API_KEY: apiKey, CONCURRENCY: String(concurrency) },
  }),
  table: null,
  truthSql: null,
}

/** Copies the rows into a staging table and merges them in one statement: the limit of the writing side. First load only. */
export const copyLimit: Subject = {
  name: 'limit: COPY and one merge',
  role: 'limit',
  versions: `pg ${manifest.devDependencies.pg}`,
  prepare: async () => null,
  async setUp(database, target) {
    await database.sql(`
      CREATE TABLE jobs (uuid uuid PRIMARY KEY, status text NOT NULL, total_urls integer NOT NULL,
        completed_count integer NOT NULL, failed_count integer NOT NULL, output_format text, scraping_channel text,
        created_at timestamptz NOT NULL, finished_at timestamptz);
      CREATE UNLOGGED TABLE staging (LIKE jobs)`)
    await writeFile(rowsOf(database.url), await toCsv(target))
    await chmod(rowsOf(database.url), 0o644)
  },
  command: ({ databaseUrl }) => ({
    file: process.execPath,
    args: ['--import', 'tsx', script('copy-limit.ts'), rowsOf(databaseUrl)],
    env: { DATABASE_URL: databaseUrl },
  }),
  table: 'jobs',
  truthSql: truthOf('jobs', ['status', 'total_urls', 'completed_count', 'failed_count']),
}

function rowsOf(databaseUrl: string): string {
  return join(tmpdir(), `spidra-sync-bench-${new URL(databaseUrl).pathname.slice(1)}.csv`)
}

/** Reads all listed jobs as CSV. */
async function toCsv({ apiUrl, apiKey }: Target): Promise<string> {
  const lines: string[] = []
  for (let page = 1, totalPages = 1; page <= totalPages; page += 1) {
    const response = await fetch(`${apiUrl}/batch/scrape?page=${page}&limit=50`, { headers: { 'x-api-key': apiKey } })
    const { jobs, pagination } = (await response.json()) as {
      jobs: Record<string, unknown>[]
      pagination: { totalPages: number }
    }
    totalPages = pagination.totalPages
    for (const job of jobs) lines.push(FIELDS.map((field) => job[field] ?? '').join(','))
  }
  return `${lines.join('\n')}\n`
}

const FIELDS = [
  'uuid',
  'status',
  'totalUrls',
  'completedCount',
  'failedCount',
  'outputFormat',
  'scrapingChannel',
  'createdAt',
  'finishedAt',
]
