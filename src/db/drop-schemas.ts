import { Client } from 'pg'

/** Drops all that spidra-sync has made in the database. For the demo, whose data are of no worth. */
export async function dropSchemas(databaseUrl: string): Promise<void> {
  const client = new Client({ connectionString: databaseUrl })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query('SET client_min_messages = warning; DROP SCHEMA IF EXISTS spidra, spidra_reporting CASCADE')
  } finally {
    await client.end()
  }
}
