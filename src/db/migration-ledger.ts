import type { Client } from 'pg'
import type { Database } from './client.js'
import type { Migration } from './migration-files.js'

/** A migration that the database says was begun, and not rolled back since. */
export interface LedgerRow {
  readonly name: string
  readonly checksum: string
  /** False: Prisma's CLI began it and failed. Our own runner leaves no such row. */
  readonly isFinished: boolean
}

const LEDGER_EXISTS = `SELECT to_regclass('spidra._prisma_migrations') IS NOT NULL AS exists`

const READ_LEDGER = `
  SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS "isFinished"
  FROM spidra._prisma_migrations
  WHERE rolled_back_at IS NULL
  ORDER BY started_at`

/** Prisma's own table, column for column, so that its CLI can go on where we stopped. */
const CREATE_LEDGER = `
  DO $$
  BEGIN
    IF to_regnamespace('spidra') IS NULL THEN
      CREATE SCHEMA spidra;
    END IF;
  END
  $$;
  CREATE TABLE spidra._prisma_migrations (
    id                  varchar(36)  PRIMARY KEY,
    checksum            varchar(64)  NOT NULL,
    finished_at         timestamptz,
    migration_name      varchar(255) NOT NULL,
    logs                text,
    rolled_back_at      timestamptz,
    started_at          timestamptz  NOT NULL DEFAULT now(),
    applied_steps_count integer      NOT NULL DEFAULT 0
  );
  COMMENT ON TABLE spidra._prisma_migrations IS 'Migrations applied to this database, in the format of Prisma.'`

const BEGIN_MIGRATION = `
  INSERT INTO spidra._prisma_migrations (id, checksum, migration_name, started_at)
  VALUES (gen_random_uuid(), $1, $2, clock_timestamp())`

const FINISH_MIGRATION = `
  UPDATE spidra._prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1
  WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL`

/** Reads the ledger without changing anything; empty where there is none. */
export async function readLedger(db: Database): Promise<readonly LedgerRow[]> {
  const [ledger] = await db.$queryRawUnsafe<{ exists: boolean }[]>(LEDGER_EXISTS)
  return ledger?.exists ? db.$queryRawUnsafe<LedgerRow[]>(READ_LEDGER) : []
}

/** Reads the ledger inside the transaction of `client`, and makes it where there is none. */
export async function openLedger(client: Client): Promise<readonly LedgerRow[]> {
  const { rows } = await client.query<{ exists: boolean }>(LEDGER_EXISTS)
  if (!rows[0]?.exists) await client.query(CREATE_LEDGER)
  return (await client.query<LedgerRow>(READ_LEDGER)).rows
}

/** Records that a migration begins. By the clock, as the transaction may be older than those it had to wait for. */
export async function beginMigration(client: Client, { checksum, name }: Migration): Promise<void> {
  await client.query(BEGIN_MIGRATION, [checksum, name])
}

/** Records that it is applied; in the same transaction, so that nobody ever sees a migration of ours as begun. */
export async function finishMigration(client: Client, { name }: Migration): Promise<void> {
  await client.query(FINISH_MIGRATION, [name])
}
