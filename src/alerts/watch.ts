import type { Config } from '../config/config.js'
import { TIMING } from '../config/scale.js'
import { claimAlerts, type DueAlert, noteAlerts, noteReported, readAlertFacts, releaseAlert } from '../db/alerts.js'
import type { Database } from '../db/client.js'
import type { Logger } from '../logging/logger.js'
import { decideAlerts, type EndedRun, watchDatabase } from './decide.js'
import { type Notification, toMessage, withoutSecrets } from './message.js'
import { openWebhook, type Webhook, type WebhookOptions } from './webhook.js'

export interface AlertWatchOptions {
  readonly db: Database
  readonly account: string
  /** `host:pid`. */
  readonly worker: string
  readonly config: Pick<Config<string | null>, 'alerts' | 'proxy' | 'redact'>
  readonly log: Logger
  /** How often the alerts are checked while no run ends, in milliseconds. Default 30,000. */
  readonly checkEveryMs?: number
  /** Defaults: those of the webhook. */
  readonly limits?: Pick<WebhookOptions, 'timeoutMs' | 'retryBaseMs'>
}

/** The running watch of an account. */
export interface AlertWatch {
  /** Starts a check of the alerts. Neither throws nor waits. */
  runEnded(run: EndedRun): void
  /** Stops the checks and cuts off the messages that are being sent; another worker sends them again. */
  stop(): Promise<void>
}

/**
 * Starts to watch an account. Sends one message to the webhook when an alert fires, and one when it is resolved. The
 * database stores which messages were sent; without a webhook it stores the states of the alerts only. A message that
 * cannot be sent is sent again by the next check.
 */
export function startAlertWatch(options: AlertWatchOptions): AlertWatch {
  const { db, account, worker, config, log } = options
  const { webhookUrl, ...thresholds } = config.alerts
  const webhook = webhookUrl === null ? null : openWebhook({ url: webhookUrl, proxy: config.proxy, ...options.limits })
  const { redact } = config
  const database = watchDatabase(thresholds.afterFailures)
  const stopper = new AbortController()
  const { signal } = stopper
  let checking: Promise<void> | null = null
  let sending: Promise<void> | null = null
  let isDueAgain = false
  let isReadable = true

  /** Runs one check at a time: a second one would find messages that the first one is sending. */
  function check(): void {
    if (signal.aborted) return
    isDueAgain = checking !== null
    checking ??= checkOnce().finally(() => {
      checking = null
      if (isDueAgain) check()
    })
  }

  async function checkOnce(): Promise<void> {
    if (webhook !== null) await notifyOfDatabase(webhook)
    try {
      const facts = await readAlertFacts(db, account)
      const findings = decideAlerts(facts, thresholds).map((finding) => ({
        ...finding,
        ...withoutSecrets(finding, redact),
      }))
      await noteAlerts(db, account, findings, facts.asOf)
      if (webhook !== null && !signal.aborted) {
        sending = sendDue(webhook)
        await sending
      }
      isReadable = true
    } catch (err) {
      // Logged once, because the failed runs log an unreachable database too.
      if (isReadable && !signal.aborted) log.warn({ account, err }, 'alerts could not be checked')
      isReadable = false
    }
  }

  async function notifyOfDatabase(to: Webhook): Promise<void> {
    const due = database.due()
    if (due !== null && (await send(to, due))) database.noteSent(due.state)
  }

  async function sendDue(to: Webhook): Promise<void> {
    const sent = await Promise.allSettled((await claimAlerts(db, account, worker)).map((due) => settle(to, due)))
    for (const outcome of sent) if (outcome.status === 'rejected') throw outcome.reason
  }

  async function settle(to: Webhook, due: DueAlert): Promise<void> {
    if (await send(to, due)) await noteReported(db, account, worker, due)
    else await releaseAlert(db, account, worker, due.kind)
  }

  /** Sends a message. Returns whether the webhook accepted it. */
  async function send(to: Webhook, notification: Omit<Notification, 'account'>): Promise<boolean> {
    const { kind, state } = notification
    try {
      await to.post(toMessage({ ...notification, account }, redact), signal)
      log.info({ account, kind, state }, 'alert sent')
      return true
    } catch (err) {
      if (!signal.aborted) log.error({ account, kind, state, err }, 'alert could not be sent')
      return false
    }
  }

  const timer = setInterval(check, options.checkEveryMs ?? TIMING.alertCheckMs)

  return {
    runEnded(run) {
      database.runEnded(run, new Date())
      check()
    },
    async stop() {
      clearInterval(timer)
      stopper.abort(new Error('The service stops'))
      // Waits for the messages only, whose claims must be released: a check may hang on an unreachable database.
      await sending?.catch(() => {})
      await webhook?.close()
    },
  }
}
