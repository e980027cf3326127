import { z } from 'zod'

/** What Postgres itself said. */
export interface PostgresError {
  /** SQLSTATE, five characters. */
  readonly code: string
  readonly message: string
}

/** node-postgres puts the SQLSTATE on the error; Prisma's adapter wraps it twice. */
const fromDriver = z
  .object({ code: z.string().regex(/^[0-9A-Z]{5}$/), severity: z.string(), message: z.string() })
  .transform(({ code, message }) => ({ code, message }))
const fromPrisma = z
  .object({
    meta: z.object({
      driverAdapterError: z.object({ cause: z.object({ originalCode: z.string(), originalMessage: z.string() }) }),
    }),
  })
  .transform(({ meta }) => {
    const { originalCode, originalMessage } = meta.driverAdapterError.cause
    return { code: originalCode, message: originalMessage }
  })
const postgresError = z.union([fromPrisma, fromDriver])

/** Reads SQLSTATE and message from what Prisma or node-postgres threw; null when Postgres said nothing. */
export function readPostgresError(error: unknown): PostgresError | null {
  const parsed = postgresError.safeParse(error)
  return parsed.success ? parsed.data : null
}
