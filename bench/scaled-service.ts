import { everySeconds, type ServiceSeat, startServiceSeat } from '../test/lifetime/service.js'
import type { Target } from './subjects/subject.js'

/** The schedule of a service in scaled time. */
export interface Schedule {
  /** `SYNC_SCHEDULE`, in minutes of scaled time. */
  readonly everyMinutes: number
  /** The moment of the full pass, which comes once a day. */
  readonly fullAt: Date
}

/**
 * Starts spidra-sync as a service, with all durations divided by `target.speed`. Everything else is as by default.
 *
 * @param onCrash hears of an end that nobody asked for.
 */
export async function startScaledService(
  { apiUrl, apiKey, databaseUrl, speed }: Target,
  { everyMinutes, fullAt }: Schedule,
  onCrash: (what: string) => void,
): Promise<ServiceSeat> {
  const seat = await startServiceSeat(
    {
      ...{ SPIDRA_API_KEY: apiKey, SPIDRA_API_URL: apiUrl, DATABASE_URL: databaseUrl },
      ...{ HTTP_PORT: '0', LOG_FORMAT: 'json' },
      SYNC_SCHEDULE: everySeconds(Math.round((everyMinutes * 60) / speed)),
      // Cron knows no day of this length.
      FULL_SYNC_SCHEDULE: `${fullAt.getUTCSeconds()} ${fullAt.getUTCMinutes()} * * * *`,
      ...{ LIFETIME_SPEED: String(speed), LIFETIME_PAGE_LIMIT: '50' },
    },
    onCrash,
  )
  // A benchmark that is interrupted must not leave it behind: it would ask for its database for ever.
  const kill = () => {
    if (seat.pid !== undefined) process.kill(seat.pid, 'SIGKILL')
  }
  const end = seat[Symbol.asyncDispose]
  process.once('exit', kill)
  return Object.assign(seat, {
    async [Symbol.asyncDispose]() {
      process.off('exit', kill)
      await end()
    },
  })
}
