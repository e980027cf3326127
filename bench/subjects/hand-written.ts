import { fileURLToPath } from 'node:url'
import manifest from '../../package.json' with { type: 'json' }
import { environmentOf, type Subject, truthOf } from './subject.js'

const SCRIPT = fileURLToPath(new URL('../peers/hand-written.ts', import.meta.url))

/** The table without our triggers, whose cost a script would not have. */
const TABLE = `
  CREATE SCHEMA spidra;
  CREATE TABLE spidra.batch_jobs (
    uuid uuid PRIMARY KEY, account text NOT NULL DEFAULT 'default', status text NOT NULL, total_urls integer NOT NULL,
    completed_count integer NOT NULL, failed_count integer NOT NULL, output_format text, scraping_channel text,
    created_at timestamptz(6) NOT NULL, finished_at timestamptz(6), extra jsonb,
    first_seen_at timestamptz(6) NOT NULL DEFAULT now(), updated_at timestamptz(6) NOT NULL DEFAULT now(),
    removed_at timestamptz(6))`

/** The script that people write first: fetches page after page, and upserts with Prisma, row by row or 50 in a transaction. */
export function handWritten(kind: 'row' | 'transaction'): Subject {
  return {
    name: kind === 'row' ? 'prisma.upsert, row by row' : 'prisma.upsert, 50 in a $transaction',
    role: 'script',
    versions: `Prisma ${manifest.dependencies['@prisma/client']}`,
    prepare: async () => null,
    setUp: async (database) => void (await database.sql(TABLE)),
    command: (target) => ({
      file: process.execPath,
      args: ['--import', 'tsx', SCRIPT, kind],
      env: environmentOf(target),
    }),
    table: 'spidra.batch_jobs',
    truthSql: truthOf('spidra.batch_jobs', ['status', 'total_urls', 'completed_count', 'failed_count']),
  }
}
