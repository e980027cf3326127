import { type CommandContext, EXIT_CODES } from './command.js'
import { forAccount } from './for-account.js'

/** From good to bad: what a command over several accounts ends with is the worst of them. */
const ORDER: readonly number[] = [EXIT_CODES.complete, EXIT_CODES.partial, EXIT_CODES.failed]

/**
 * Acts on every account, one after the other. Where there are several, each gets a heading, and one that throws does not
 * stop the others: that is logged, and counts as failed. The signal stops all.
 *
 * @param isHeaded false where the output is for programs
 * @returns the worst exit code
 */
export async function eachAccount(
  context: CommandContext<string | null>,
  { isHeaded }: { readonly isHeaded: boolean },
  act: (context: CommandContext) => Promise<number>,
): Promise<number> {
  const { accounts, signal, log, stdout } = context
  const [only] = accounts
  if (only !== undefined && accounts.length === 1) return act(forAccount(context, only))
  let worst: number = EXIT_CODES.complete
  for (const [index, account] of accounts.entries()) {
    if (isHeaded) stdout.write(toHeading(account.name, index))
    const exitCode = await act(forAccount(context, account)).catch((err: unknown) => {
      signal.throwIfAborted()
      log.error({ account: account.name, err }, 'account failed')
      return EXIT_CODES.failed
    })
    if (signal.aborted) return exitCode
    if (ORDER.indexOf(exitCode) > ORDER.indexOf(worst)) worst = exitCode
  }
  return worst
}

/** A line above what is said of an account, with an empty one before it where it is not the first. */
export function toHeading(name: string, index: number): string {
  return `${index === 0 ? '' : '\n'}== ${name} ==\n`
}
