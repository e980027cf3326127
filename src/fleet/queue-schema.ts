import { Client } from 'pg'
import PgBoss from 'pg-boss'
import { explainMissingRight, toDatabaseError } from '../db/connection-error.js'

/** Where pg-boss keeps its tables, beside ours in the same database. */
export const QUEUE_SCHEMA = 'spidra_queue'

/** Key of the advisory lock under which the queue's tables are made. "spiq" in ASCII. */
const SETUP_LOCK = 0x73706971

/** It fails for want of a right even where the schema is there, so it is left to us. */
const CREATE_SCHEMA = `CREATE SCHEMA IF NOT EXISTS ${QUEUE_SCHEMA}`

/**
 * Makes the queue's tables where there are none, then does the rest of the setting up; one process at a time, because of
 * several at once pg-boss lets some end in a deadlock.
 *
 * @throws DatabaseError when the server cannot be reached, or a right is missing; it names the statements that give it.
 */
export async function setUpQueue(databaseUrl: string, rest: () => Promise<void>): Promise<void> {
  const client = new Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: 10_000,
    application_name: 'spidra-sync queue',
  })
  // Without a listener a lost connection would end the process; the query under way rejects as well.
  client.on('error', () => {})
  try {
    await client.connect()
    // A process that was stopped while it set the queue up should not hold up the others for ever, and in silence.
    await client.query("SET lock_timeout = '60s'")
    // For the session: the lock is gone with the connection, however this ends.
    await client.query('SELECT pg_advisory_lock($1)', [SETUP_LOCK])
    await createTables(client)
    await rest()
  } catch (error) {
    // What failed in between may have left its transaction open.
    await client.query('ROLLBACK').catch(() => {})
    const explained = await explainMissingRight(error, client, databaseUrl, [QUEUE_SCHEMA])
    throw explained ?? toDatabaseError(error, databaseUrl) ?? error
  } finally {
    await client.end().catch(() => {})
  }
}

/** As pg-boss would at its start, but in a schema that may be there, made by somebody who may. */
async function createTables(client: Client): Promise<void> {
  const { rows } = await client.query<{ hasSchema: boolean; hasTables: boolean }>(
    `SELECT to_regnamespace($1) IS NOT NULL AS "hasSchema", to_regclass($1 || '.version') IS NOT NULL AS "hasTables"`,
    [QUEUE_SCHEMA],
  )
  if (rows[0]?.hasTables === true) return
  if (rows[0]?.hasSchema !== true) await client.query(CREATE_SCHEMA)
  await client.query(PgBoss.getConstructionPlans(QUEUE_SCHEMA).replace(CREATE_SCHEMA, 'SELECT 1'))
}
