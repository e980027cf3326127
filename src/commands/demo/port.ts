import { ConfigError } from '../../config/errors.js'
import type { CommandContext } from '../../service/context.js'

/** Whether somebody has said which port it is to be. */
export interface PortChoice {
  readonly isPortChosen: boolean
}

/**
 * Starts what serves HTTP. Where the usual port is taken, on any other: a demo should run beside whatever there is. A
 * port that was asked for is the one, or the start fails.
 */
export async function startOnFreePort<Started>(
  context: CommandContext,
  { isPortChosen }: PortChoice,
  start: (context: CommandContext) => Promise<Started>,
): Promise<Started> {
  try {
    return await start(context)
  } catch (error) {
    if (isPortChosen || !(error instanceof ConfigError)) throw error
    const { config } = context
    return start({ ...context, config: { ...config, http: { ...config.http, port: 0 } } })
  }
}
