// Copies a file of rows into a staging table, merges it in one statement and deletes the file. Run as `copy-limit.ts FILE`.
import { rm } from 'node:fs/promises'
import { Client, escapeLiteral } from 'pg'

const [, , file = ''] = process.argv
const client = new Client({ connectionString: process.env.DATABASE_URL ?? '' })
await client.connect()
await client.query('TRUNCATE staging')
await client.query(`COPY staging FROM ${escapeLiteral(file)} WITH (FORMAT csv)`)
await client.query(`
  INSERT INTO jobs SELECT * FROM staging
  ON CONFLICT (uuid) DO UPDATE SET status = excluded.status, total_urls = excluded.total_urls,
    completed_count = excluded.completed_count, failed_count = excluded.failed_count,
    output_format = excluded.output_format, scraping_channel = excluded.scraping_channel,
    created_at = excluded.created_at, finished_at = excluded.finished_at
  WHERE (jobs.*) IS DISTINCT FROM (excluded.*)`)
await client.end()
await rm(file)
