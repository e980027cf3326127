import type { TestDatabase } from './test-database.js'

/** A trigger that makes writes to a table fail, as a full disk or another client would. */
export interface RaisingTrigger extends AsyncDisposable {
  /** How often it was called. */
  attempts(): Promise<number>
  remove(): Promise<void>
}

/**
 * Raises `sqlState` before each statement that writes to the table, or before the first `times` of them. It counts with
 * a sequence, because a rollback does not undo that.
 */
export async function raiseOn(
  { sql }: Pick<TestDatabase, 'sql'>,
  table: string,
  sqlState: string,
  { times = 1_000_000, events = 'INSERT OR UPDATE OR DELETE' }: { times?: number; events?: string } = {},
): Promise<RaisingTrigger> {
  await sql(`
    DROP SEQUENCE IF EXISTS public.raise_attempts CASCADE;
    CREATE SEQUENCE public.raise_attempts;
    GRANT ALL ON SEQUENCE public.raise_attempts TO PUBLIC;
    CREATE OR REPLACE FUNCTION public.raise_in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF nextval('public.raise_attempts') <= ${times} THEN
        RAISE EXCEPTION E'raised in the way,\\nfor a test' USING ERRCODE = '${sqlState}';
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER in_the_way BEFORE ${events} ON ${table} EXECUTE FUNCTION public.raise_in_the_way()`)
  const remove = async () => void (await sql(`DROP TRIGGER IF EXISTS in_the_way ON ${table}`))
  return {
    async attempts() {
      const [row] = await sql<{ attempts: number }>(
        'SELECT CASE WHEN is_called THEN last_value ELSE 0 END::integer AS attempts FROM public.raise_attempts',
      )
      return row?.attempts ?? 0
    },
    remove,
    [Symbol.asyncDispose]: remove,
  }
}
