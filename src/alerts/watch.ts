import type { Config } from '../config/config.js'
import { TIMING } from '../config/scale.js'
import { claimAlerts, type DueAlert, noteAlerts, noteTold, readAlertFacts, releaseAlert } from '../db/alerts.js'
import type { Database } from '../db/client.js'
import type { Logger } from '../logging/logger.js'
import { createRedact } from '../logging/redact.js'
import { type EndedRun, watchDatabase } from './database-watch.js'
import { decideAlerts } from './decide.js'
import { type Tidings, toMessage } from './message.js'
import { openWebhook, type Webhook, type WebhookOptions } from './webhook.js'

export interface AlertWatchOptions {
  readonly db: Database
  readonly account: string
  /** `host:pid`. */
  readonly worker: string
  readonly config: Pick<Config<string | null>, 'alerts' | 'proxy' | 'secrets'>
  readonly log: Logger
  /** Default 30,000. */
  readonly checkEveryMs?: number
  /** Default those of the webhook. */
  readonly limits?: Pick<WebhookOptions, 'timeoutMs' | 'retryBaseMs'>
}

export interface AlertWatch {
  /** Has a look soon. Neither throws nor waits. */
  runEnded(run: EndedRun): void
  /** Cuts off what is being sent; it is due again then. */
  stop(): Promise<void>
}

/**
 * Watches an account, and tells the webhook once when something goes wrong and once when it is over. What was told is
 * kept in the database; without a webhook only the states are. A message that cannot be sent is due at the next check.
 */
export function startAlertWatch(options: AlertWatchOptions): AlertWatch {
  const { db, account, worker, config, log } = options
  const { webhookUrl, ...thresholds } = config.alerts
  const webhook = webhookUrl === null ? null : openWebhook({ url: webhookUrl, proxy: config.proxy, ...options.limits })
  const redact = createRedact(config.secrets)
  const database = watchDatabase(thresholds.afterFailures)
  const stopper = new AbortController()
  const { signal } = stopper
  let looking: Promise<void> | null = null
  let telling: Promise<void> | null = null
  let isDueAgain = false
  let isReadable = true

  /** One look at a time: what a second one would find, the first may be telling already. */
  function look(): void {
    if (signal.aborted) return
    isDueAgain = looking !== null
    looking ??= lookOnce().finally(() => {
      looking = null
      if (isDueAgain) look()
    })
  }

  async function lookOnce(): Promise<void> {
    if (webhook !== null) await tellOfDatabase(webhook)
    try {
      const facts = await readAlertFacts(db, account)
      await noteAlerts(db, account, decideAlerts(facts, thresholds), facts.asOf)
      if (webhook !== null && !signal.aborted) {
        telling = tellWhatIsDue(webhook)
        await telling
      }
      isReadable = true
    } catch (err) {
      // Failed runs tell of a database that is away, too: once is enough.
      if (isReadable && !signal.aborted) log.warn({ account, err }, 'alerts could not be checked')
      isReadable = false
    }
  }

  async function tellOfDatabase(to: Webhook): Promise<void> {
    const due = database.due()
    if (due !== null && (await tell(to, due))) database.noteTold(due.state)
  }

  async function tellWhatIsDue(to: Webhook): Promise<void> {
    const told = await Promise.allSettled((await claimAlerts(db, account, worker)).map((due) => settle(to, due)))
    for (const outcome of told) if (outcome.status === 'rejected') throw outcome.reason
  }

  async function settle(to: Webhook, due: DueAlert): Promise<void> {
    if (await tell(to, due)) await noteTold(db, account, worker, due)
    else await releaseAlert(db, account, worker, due.kind)
  }

  /** Whether the message was taken. */
  async function tell(to: Webhook, tidings: Omit<Tidings, 'account'>): Promise<boolean> {
    const { kind, state } = tidings
    try {
      await to.post(toMessage({ ...tidings, account }, redact), signal)
      log.info({ account, kind, state }, 'alert sent')
      return true
    } catch (err) {
      if (!signal.aborted) log.error({ account, kind, state, err }, 'alert could not be sent')
      return false
    }
  }

  const timer = setInterval(look, options.checkEveryMs ?? TIMING.alertCheckMs)

  return {
    runEnded(run) {
      database.runEnded(run, new Date())
      look()
    },
    async stop() {
      clearInterval(timer)
      stopper.abort(new Error('The service was told to stop'))
      // Not for the look itself: it may wait for a database that is away. What was claimed has to be given back.
      await telling?.catch(() => {})
      await webhook?.close()
    },
  }
}
