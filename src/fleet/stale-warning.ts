import type { Account } from '../config/accounts.js'
import { shortestInterval } from '../scheduler/schedules.js'
import type { CommandContext } from '../service/context.js'

/** Warns of accounts that are due so rarely that the alert `stale` would fire between any two of their runs. */
export function warnOfStalePauses(
  { config, log }: Pick<CommandContext<string | null>, 'config' | 'log'>,
  accounts: readonly Account[],
): void {
  const { webhookUrl, staleMinutes } = config.alerts
  if (webhookUrl === null) return
  const isRare = ({ schedule }: Account) =>
    (shortestInterval([schedule, config.schedule.fullSync]) ?? 0) > staleMinutes * 60_000
  const names = accounts.filter(isRare).map(({ name }) => name)
  if (names.length === 0) return
  log.warn(
    { accounts: names, staleMinutes },
    'ALERT_STALE_MINUTES is shorter than the time between two runs of these accounts: every pause will raise an alert',
  )
}
