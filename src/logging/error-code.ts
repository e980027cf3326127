/** The `code` of an error, such as `ENOENT` of Node or the code of one of our own errors; null where it has none. */
export function errorCodeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null
}

/** Prisma's introduction to every message. It names a function of its own, and not the cause. */
const PRISMA_INTRODUCTION = /^\s*Invalid `[^`]*` invocation[^\n]*\n\s*/
const PRISMA_RAW = /^Raw query failed\. Code: `(.*?)`\. Message: `(.*)`\s*$/s

/** The message of an error for people. An error of Prisma says what Postgres said, without the words that Prisma adds. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (!isPrismaError(error)) return error.message
  const message = error.message.replace(PRISMA_INTRODUCTION, '')
  const [, code = '', said] = PRISMA_RAW.exec(message) ?? []
  if (said !== undefined) return /^\w{5}$/.test(code) ? `${said} (SQLSTATE ${code})` : said
  // Above the last paragraph a faulty call is shown, with its values.
  return (
    message
      .trim()
      .split(/\n\s*\n/)
      .at(-1) ?? message
  )
}

/** Whether Prisma raised the error. Its classes are not imported, because the log knows no database. */
export function isPrismaError({ name }: Error): boolean {
  return name.startsWith('PrismaClient')
}
