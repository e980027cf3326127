import { connect, Socket } from 'node:net'
import { Client, type ClientConfig, Pool, type PoolConfig } from 'pg'
import { errorCodeOf } from '../logging/error-code.js'

/** Default time in which the server must answer a statement, in milliseconds. */
export const STATEMENT_DEADLINE_MS = 30_000

/** Maximum wait for a connection, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000

/** An idle connection is probed after this time, in milliseconds. The default of most systems is two hours. */
const KEEP_ALIVE_MS = 30_000

/** Longest wait for the connection over which a cancellation is sent, in milliseconds. */
const CANCEL_TIMEOUT_MS = 5_000

/** Code of a cancellation in the wire protocol of Postgres, in place of a version. */
const CANCEL_REQUEST = 80_877_102

/** A statement did not end in time, or its process stops. The connection is closed; whether Postgres executed it is unknown. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
  readonly code = 'no_answer'
}

export interface ConnectionConfig extends ClientConfig {
  /** Time in which the server must answer a statement, in milliseconds; null: any. Default `STATEMENT_DEADLINE_MS`. */
  readonly deadlineMs?: number | null
  /** Called when the connection is cut off while a statement waits for its answer. */
  readonly onNoAnswer?: (error: Error) => void
}

/**
 * A connection to Postgres whose statements have a deadline. A network or a proxy that forgot the connection answers
 * neither data nor a close, so only a clock of our own ends the wait. After that the connection is closed, because nothing is
 * known of its state, and the server is asked over another one to cancel the statement.
 *
 * Times are in UTC and in ISO form: Prisma's adapter reads and writes a timestamptz without its offset. Both are parameters of
 * the start of the connection, as JDBC sends them, so that proxies which share connections keep them.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export class Connection extends Client {
  private readonly socket: Socket
  private readonly deadlineMs: number | null
  private readonly onNoAnswer: (error: Error) => void
  /** When the oldest statement without an answer was sent, by the monotonic clock; null: none. */
  private sentAt: number | null = null

  constructor(config: string | ConnectionConfig = {}) {
    // A socket of our own can be destroyed: node-postgres does not give up one that is still connecting.
    const socket = new Socket()
    const {
      deadlineMs = STATEMENT_DEADLINE_MS,
      onNoAnswer = () => {},
      ...own
    } = typeof config === 'string' ? { connectionString: config } : config
    super({
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      ...own,
      stream: () => socket,
    })
    this.socket = socket
    this.deadlineMs = deadlineMs
    this.onNoAnswer = onNoAnswer
    // Without a listener a lost connection would end the process. The current statement rejects as well.
    this.on('error', () => undefined)
    const query = this.query.bind(this) as (...args: unknown[]) => unknown
    this.query = ((...args: unknown[]) => this.withDeadline(query, args)) as typeof this.query
  }

  /** Parameters of the start of the connection. node-postgres has no option for those of its own. */
  getStartupConf(): Record<string, string> {
    const inherited = Reflect.get(Client.prototype, 'getStartupConf') as (this: Client) => Record<string, string>
    return { ...inherited.call(this), TimeZone: 'UTC', DateStyle: 'ISO' }
  }

  /** How long a statement has been waiting for its answer, in milliseconds; null: none is. */
  get waitingMs(): number | null {
    return this.sentAt === null ? null : performance.now() - this.sentAt
  }

  /** Closes the connection at once: its statement fails with the error, and the server is asked to cancel it. */
  cutOff(error: Error): void {
    const isWaiting = this.sentAt !== null
    this.socket.destroy(error)
    if (!isWaiting) return
    this.cancel()
    this.onNoAnswer(error)
  }

  private withDeadline(query: (...args: unknown[]) => unknown, args: unknown[]): unknown {
    const { deadlineMs } = this
    this.sentAt ??= performance.now()
    const timer =
      deadlineMs === null
        ? undefined
        : setTimeout(() => {
            this.cutOff(new NoAnswerError(`no answer to a statement within ${deadlineMs / 1000} s`))
          }, deadlineMs)
    const answered = () => {
      clearTimeout(timer)
      this.sentAt = null
    }
    const callback = args.at(-1)
    if (typeof callback === 'function') {
      const withCallback = [
        ...args.slice(0, -1),
        (...results: unknown[]) => {
          answered()
          callback(...results)
        },
      ]
      return query(...withCallback)
    }
    const result = query(...args)
    if (result instanceof Promise) result.then(answered, answered)
    return result
  }

  /** Sends the server the number and the secret of this connection, over one that needs no password. */
  private cancel(): void {
    const { processID, secretKey } = this as unknown as { processID: number | null; secretKey: number | null }
    if (processID === null || secretKey === null) return
    const message = Buffer.alloc(16)
    for (const [index, part] of [message.length, CANCEL_REQUEST, processID, secretKey].entries()) {
      message.writeInt32BE(part, index * 4)
    }
    const { host, port } = this
    const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    // Nobody hears whether it succeeds; the statement is lost to us either way.
    socket.on('error', () => undefined).setTimeout(CANCEL_TIMEOUT_MS, () => socket.destroy())
    socket.unref().end(message)
  }
}

/** SQLSTATE of a connection that the server closed because no statement came within `idle_session_timeout`. */
const IDLE_TOO_LONG = '57P05'

/**
 * Opens a pool of such connections. The server may close idle ones at any time: the pool replaces them. A statement that was
 * sent to one at the same moment is sent again on another, because Postgres closes it before it reads a statement. That does
 * not hold for the statements of a transaction, which have a connection of their own.
 */
export function openPool(config: PoolConfig & ConnectionConfig): Pool {
  const pool = new Pool({ connectionTimeoutMillis: CONNECT_TIMEOUT_MS, Client: Connection, ...config })
  // Without a listener a lost connection that is idle would end the process.
  pool.on('error', () => undefined)
  const query: (...args: unknown[]) => Promise<unknown> = pool.query.bind(pool) as never
  const ask = async (left: number, args: unknown[]): Promise<unknown> => {
    try {
      return await query(...args)
    } catch (error) {
      if (left === 0 || errorCodeOf(error) !== IDLE_TOO_LONG) throw error
      return ask(left - 1, args)
    }
  }
  // Each connection of the pool may have been closed.
  pool.query = ((...args: unknown[]) => ask(pool.options.max, args)) as typeof pool.query
  return pool
}
