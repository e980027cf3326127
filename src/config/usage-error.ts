/** The command line cannot be used: exit code 2. The message names the flag. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError'
}
