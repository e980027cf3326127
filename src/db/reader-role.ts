import { Client, escapeIdentifier, escapeLiteral } from 'pg'

/**
 * Makes a login role that may read the tables and views of spidra-sync, and nothing else. Where it is already there, it
 * gets the password. Needs a role that may create roles, as the superuser of the embedded Postgres.
 */
export async function ensureReaderRole(databaseUrl: string, role: string, password: string): Promise<void> {
  const client = new Client({ connectionString: databaseUrl })
  // A lost connection rejects the query under way; without a listener it would also end the process.
  client.on('error', () => {})
  await client.connect()
  try {
    const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [role])
    const name = escapeIdentifier(role)
    // Role statements take no parameters, and a log of statements must not see the password of others than the demo.
    await client.query(`${rowCount === 0 ? 'CREATE' : 'ALTER'} ROLE ${name} LOGIN PASSWORD ${escapeLiteral(password)}`)
    for (const schema of ['spidra', 'spidra_reporting']) {
      await client.query(`GRANT USAGE ON SCHEMA ${schema} TO ${name}`)
      await client.query(`GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO ${name}`)
      await client.query(`ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT SELECT ON TABLES TO ${name}`)
    }
  } finally {
    await client.end()
  }
}
