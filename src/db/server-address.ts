import { Client } from 'pg'

/** Where a connection string leads, without its password. */
export interface ServerAddress {
  /** `host:port`, or the path of a socket. */
  readonly server: string
  readonly isSocket: boolean
  readonly database: string
  readonly user: string
}

/** Parameters that name files, which may be what is wrong with the connection string. */
const FILES = ['sslcert', 'sslkey', 'sslrootcert']

/** Reads a connection string as node-postgres does, defaults and all. */
export function addressOf(databaseUrl: string): ServerAddress {
  const url = new URL(databaseUrl)
  for (const name of FILES) url.searchParams.delete(name)
  const { host, port, database = '', user = '' } = new Client({ connectionString: url.href })
  const isSocket = host.startsWith('/')
  return { server: isSocket ? `${host}/.s.PGSQL.${port}` : `${host}:${port}`, isSocket, database, user }
}
