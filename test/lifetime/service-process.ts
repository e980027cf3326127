// The service as `spidra-sync start` runs it, but with every duration of the configuration divided by LIFETIME_SPEED.

import { runStartCommand } from '../../src/commands/start.js'
import type { Config } from '../../src/config/config.js'
import { loadConfig } from '../../src/config/config.js'
import { scaleTiming } from '../../src/config/scale.js'
import { secretsAmong } from '../../src/config/secrets.js'
import { createSecrets } from '../../src/logging/redact.js'
import { createContext } from '../../src/service/context.js'
import { onStopSignal } from '../../src/service/stop-signal.js'

const speed = Number(process.env.LIFETIME_SPEED)
const pageLimit = Number(process.env.LIFETIME_PAGE_LIMIT)
delete process.env.LIFETIME_SPEED
delete process.env.LIFETIME_PAGE_LIMIT

/** Schedules are in the environment already. Timeouts stay: the machine is no faster. */
function scale(config: Config<string | null>): Config<string | null> {
  const { spidra, rateLimit, alerts } = config
  return {
    ...config,
    timing: scaleTiming(config.timing, 1 / speed),
    sizes: { ...config.sizes, pageLimit },
    spidra: { ...spidra, retryBaseMs: spidra.retryBaseMs / speed },
    rateLimit: { ...rateLimit, windowSeconds: rateLimit.windowSeconds / speed },
    alerts: { ...alerts, staleMinutes: alerts.staleMinutes / speed },
    stuckAfterHours: config.stuckAfterHours / speed,
  }
}

const stop = onStopSignal(process)
const secrets = createSecrets(secretsAmong(process.env))
const context = await createContext(
  { host: process, stop, secrets, version: 'lifetime', self: 'spidra-sync', account: null },
  { load: (env, options) => scale(loadConfig(env, { needs: 'service', ...options })), logsTo: 'stdout' },
)
process.exitCode = await runStartCommand(context, null)
stop.dispose()
