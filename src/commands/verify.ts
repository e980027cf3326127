import { toDatabaseError } from '../db/connection-error.js'
import { isAccountRunning } from '../db/run-lease.js'
import { counted, formatNumber, toPrintable } from '../logging/printable.js'
import { createSharedBudget } from '../service/account-run.js'
import { eachAccount } from '../service/accounts.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import type { OpenDatabase } from '../service/database.js'
import { assertOwnKeys, openDatabaseForAccounts } from '../service/database.js'
import { createSpidraClient } from '../spidra/client.js'
import type { RequestBudget } from '../spidra/request-budget.js'
import { type VerifyReport, verifySample } from '../sync/verify-sample.js'

export interface VerifyFlags {
  readonly sample: number
  readonly json: boolean
}

/** `spidra-sync verify`: reads pages again and compares them with the table. Returns the exit code. */
export async function runVerifyCommand(context: CommandContext<string | null>, flags: VerifyFlags): Promise<number> {
  const { config, log } = context
  const database = await openDatabaseForAccounts(context, { mustExist: true })
  try {
    await assertOwnKeys(context.accounts, database)
    const { budget, listen } = createSharedBudget(config)
    listen(({ waitMs, resumeAt }) => log.info({ waitMs, resumeAt }, 'waiting for the request budget'))
    return await eachAccount(context, { isHeaded: !flags.json }, (one) => verifyOne(one, database, budget, flags))
  } finally {
    await database.close()
  }
}

async function verifyOne(
  { config, account, signal, stdout }: CommandContext,
  { db, databaseUrl }: OpenDatabase,
  budget: RequestBudget,
  flags: VerifyFlags,
): Promise<number> {
  try {
    if (await isAccountRunning(db, account)) {
      const skipped = flags.json
        ? JSON.stringify({ account, skipped: true })
        : `Skipped: another worker is running account ${account}.`
      stdout.write(`${skipped}\n`)
      return EXIT_CODES.complete
    }
    const client = createSpidraClient({ ...config.spidra, proxy: config.proxy, timing: config.timing, budget })
    try {
      const report = await verifySample({ db, client, account, sample: flags.sample, signal, random: Math.random })
      stdout.write(flags.json ? `${JSON.stringify({ account, skipped: false, ...report })}\n` : toVerifyText(report))
      return report.differences.length === 0 ? EXIT_CODES.complete : EXIT_CODES.partial
    } finally {
      await client.close()
    }
  } catch (error) {
    throw toDatabaseError(error, databaseUrl) ?? error
  }
}

/** A longer value is cut: an unknown field may hold a megabyte. */
const MAX_SHOWN = 200

/** Formats one line per difference, and a last line with the counts. */
function toVerifyText({ pages, jobs, moved, differences }: VerifyReport): string {
  const lines = differences.map(({ uuid, field, stored, listed }) =>
    field === 'uuid'
      ? `${uuid} is listed, but not stored`
      : `${uuid} ${field}: stored ${toShown(stored)}, listed ${toShown(listed)}`,
  )
  const count = (number: number, one: string, many: string) => `${formatNumber(number)} ${number === 1 ? one : many}`
  const summary = [
    `Compared ${counted(jobs, 'job')} on ${counted(pages, 'page')}`,
    `${count(moved, 'has', 'have')} moved since the last run`,
    `${count(differences.length, 'field differs', 'fields differ')}`,
  ]
  return [...lines, `${summary.join('; ')}.`, ''].join('\n')
}

/** Escapes the value: the API may send characters that a terminal acts on. */
function toShown(value: string | null): string {
  if (value === null || value.length <= MAX_SHOWN) return toPrintable(String(value))
  return `${toPrintable(value.slice(0, MAX_SHOWN))}... (${counted(value.length, 'character')})`
}
