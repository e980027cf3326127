import type { EventEmitter } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Client, type ClientConfig, Pool, type PoolConfig } from 'pg'
import { errorCodeOf } from '../logging/error-code.js'
import { formatDuration } from '../logging/printable.js'

/** Default time in which the server must answer a statement, in milliseconds. */
export const STATEMENT_DEADLINE_MS = 30_000

/** Maximum wait for a connection, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000

/** An idle connection is probed after this time, in milliseconds. The default of most systems is two hours. */
const KEEP_ALIVE_MS = 30_000

/** How long a connection that is cut off waits for its cancellation, in milliseconds. */
const CANCEL_GRACE_MS = 1_000

/** How long the connection of a cancellation stays open, in milliseconds: PgBouncer may take ten seconds to deliver it. */
const CANCEL_TIMEOUT_MS = 15_000

/** How long the end of a connection may take, in milliseconds. */
const END_TIMEOUT_MS = 2_000

/** Code of a cancellation in the wire protocol of Postgres, in place of a version. */
const CANCEL_REQUEST = 80_877_102

/** SQLSTATE of a connection that the server closed because no statement came within `idle_session_timeout`. */
const IDLE_TOO_LONG = '57P05'

/**
 * SQLSTATE of a prepared statement that the connection does not have (invalid_sql_statement_name), or has already
 * (duplicate_prepared_statement): a pooler gives each transaction another connection to the server.
 */
const MISPLACED = ['26000', '42P05']

/** A statement did not end in time, or its process stops. The connection is closed; whether Postgres executed it is unknown. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
  readonly code = 'no_answer'
}

/** The server uses another time zone than the one that each connection asks for. */
export class TimeZoneError extends Error {
  override readonly name = 'TimeZoneError'
  readonly code = 'time_zone'
}

interface WireEvents {
  parameterStatus: [{ readonly parameterName: string; readonly parameterValue: string }]
}

export interface ConnectionConfig extends ClientConfig {
  /** Time in which the server must answer a statement that begins now, in milliseconds. Default `STATEMENT_DEADLINE_MS`. */
  readonly deadlineMs?: () => number
  /** Called when the connection is cut off while a statement waits for its answer. */
  readonly onCutOff?: (error: Error) => void
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
  private readonly deadlineMs: () => number
  private readonly onCutOff: (error: Error) => void
  /** As the server reports it; null: not yet. */
  private timeZone: string | null = null
  /** Statements without an answer, and when the oldest of them was sent, by the monotonic clock. */
  private unanswered = 0
  private sentAt = 0
  private isUnhurried = false
  private isCutOff = false

  constructor(config: string | ConnectionConfig = {}) {
    const given: ConnectionConfig = typeof config === 'string' ? { connectionString: config } : config
    const { deadlineMs = () => STATEMENT_DEADLINE_MS, onCutOff = () => {}, ...own } = given
    super({
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      ...own,
    })
    this.deadlineMs = deadlineMs
    this.onCutOff = onCutOff
    // Without a listener a lost connection would end the process. The current statement rejects as well.
    this.on('error', () => undefined)
    this.wire.on('parameterStatus', ({ parameterName, parameterValue }) => {
      if (parameterName === 'TimeZone') this.timeZone = parameterValue
    })
    // Both have overloads that a method of ours would have to repeat.
    const query = this.query.bind(this) as (...args: unknown[]) => unknown
    this.query = ((...args: unknown[]) => this.withDeadline(query, args)) as typeof this.query
    const end = this.end.bind(this) as (...args: unknown[]) => unknown
    this.end = ((...args: unknown[]) => {
      // A silent connection does not answer the goodbye.
      const timer = setTimeout(() => this.stream.destroy(), END_TIMEOUT_MS).unref()
      this.once('end', () => clearTimeout(timer))
      return end(...args)
    }) as typeof this.end
  }

  /** Parameters of the start of the connection. The types lack it, and node-postgres has no option for those of its own. */
  getStartupConf(): Record<string, string> {
    const inherited = Reflect.get(Client.prototype, 'getStartupConf') as (this: Client) => Record<string, string>
    return { ...inherited.call(this), TimeZone: 'UTC', DateStyle: 'ISO' }
  }

  /** How long a statement has been waiting for its answer, in milliseconds; null: none is. */
  get waitingMs(): number | null {
    return this.unanswered === 0 ? null : performance.now() - this.sentAt
  }

  /** Runs work whose statements may take any time, such as waiting for a lock or building an index. */
  async unhurried<T>(work: () => Promise<T>): Promise<T> {
    this.isUnhurried = true
    try {
      return await work()
    } finally {
      this.isUnhurried = false
    }
  }

  /**
   * Ends the connection without waiting for the server: its statement fails with the error. The server is asked to cancel the
   * statement first, because a proxy knows it only as long as this connection is open.
   */
  cutOff(error: Error): void {
    if (this.isCutOff) return
    this.isCutOff = true
    const { stream } = this
    if (this.unanswered === 0) {
      stream.destroy(error)
      return
    }
    // What the server says of the cancelled statement is not the cause, so it is not read.
    stream.pause()
    const timer = setTimeout(() => stream.destroy(error), CANCEL_GRACE_MS)
    this.askToCancel(() => {
      clearTimeout(timer)
      stream.destroy(error)
    })
    this.onCutOff(error)
  }

  /** Null where times would be right. A proxy may drop our parameters, and then times would be wrong without an error. */
  timeZoneError(): TimeZoneError | null {
    if (this.timeZone === null || /^(Etc\/)?(UTC|UCT|GMT|Universal|Zulu)$/.test(this.timeZone)) return null
    return new TimeZoneError(`the time zone is ${this.timeZone}`)
  }

  /** The connection of the wire protocol, and its socket or TLS over it. The types of `Client` lack it. */
  private get wire(): EventEmitter<WireEvents> & { readonly stream: Socket } {
    return (this as unknown as { connection: EventEmitter<WireEvents> & { readonly stream: Socket } }).connection
  }

  private get stream(): Socket {
    return this.wire.stream
  }

  private withDeadline(query: (...args: unknown[]) => unknown, args: unknown[]): unknown {
    const deadlineMs = this.deadlineMs()
    const timer = this.isUnhurried
      ? undefined
      : setTimeout(
          () => this.cutOff(new NoAnswerError(`no answer to a statement within ${formatDuration(deadlineMs / 1000)}`)),
          deadlineMs,
        )
    if (this.unanswered === 0) this.sentAt = performance.now()
    this.unanswered += 1
    const answered = () => {
      clearTimeout(timer)
      this.unanswered -= 1
      this.sentAt = performance.now()
    }
    const callback = args.at(-1)
    if (typeof callback === 'function') {
      const withCallback = (...results: unknown[]) => {
        answered()
        callback(...results)
      }
      return query(...args.slice(0, -1), withCallback)
    }
    const result = query(...args)
    if (result instanceof Promise) result.then(answered, answered)
    return result
  }

  /**
   * Sends the server the number and the secret of this connection, over one that needs no password, and waits until the server
   * closes it: PgBouncer 1.18 crashes where we close it.
   */
  private askToCancel(onEnd: () => void): void {
    const { processID, secretKey } = this as unknown as { processID: number | null; secretKey: number | null }
    if (processID === null || secretKey === null) {
      onEnd()
      return
    }
    const message = Buffer.alloc(16)
    for (const [index, part] of [message.length, CANCEL_REQUEST, processID, secretKey].entries()) {
      message.writeInt32BE(part, index * 4)
    }
    const { host, port } = this
    const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    // Nobody hears whether it succeeds; the statement is lost to us either way.
    socket.on('error', () => undefined).on('close', onEnd)
    socket.setTimeout(CANCEL_TIMEOUT_MS, () => socket.destroy())
    socket.unref().resume().write(message)
  }
}

/**
 * Opens a pool of such connections. The server may close idle ones at any time: the pool replaces them. A statement that was
 * sent to one at the same moment is sent again on another, because Postgres closes it before it reads a statement. That does
 * not hold for the statements of a transaction, which have a connection of their own.
 *
 * Where a pooler misplaces a prepared statement, that statement and all later ones are sent without a name.
 */
export function openPool(config: PoolConfig & ConnectionConfig): Pool {
  const pool = new Pool({
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    Client: Connection,
    verify: (client, done) => done((client instanceof Connection ? client.timeZoneError() : null) ?? undefined),
    ...config,
  })
  // Without a listener a lost connection that is idle would end the process.
  pool.on('error', () => undefined)
  const query: (...args: unknown[]) => Promise<unknown> = pool.query.bind(pool) as never
  let prepares = true
  const ask = async (left: number, [statement, ...args]: unknown[]): Promise<unknown> => {
    const isNamed = typeof statement === 'object' && statement !== null && Boolean(Reflect.get(statement, 'name'))
    const isPrepared = isNamed && prepares
    try {
      return await query(isNamed && !isPrepared ? { ...statement, name: '' } : statement, ...args)
    } catch (error) {
      const code = errorCodeOf(error) ?? ''
      if (isPrepared && MISPLACED.includes(code)) {
        prepares = false
        return ask(left, [statement, ...args])
      }
      if (left === 0 || code !== IDLE_TOO_LONG) throw error
      return ask(left - 1, [statement, ...args])
    }
  }
  // Each connection of the pool may have been closed.
  pool.query = ((...args: unknown[]) => ask(pool.options.max, args)) as typeof pool.query
  return pool
}
