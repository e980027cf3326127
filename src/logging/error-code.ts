/** The `code` of an error, such as `ENOENT` of Node or the code of one of our own errors; null where it has none. */
export function errorCodeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null
}
