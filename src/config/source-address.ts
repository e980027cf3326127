import { createServer } from 'node:net'
import { ConfigError } from './errors.js'

/**
 * Tries whether requests can come from the address at all: a worker that cannot send would take runs that others could
 * do, and fail them.
 *
 * @throws {ConfigError} when the address is not one of this machine.
 */
export async function assertOwnAddress(address: string | null): Promise<void> {
  if (address === null) return
  const probe = createServer()
  try {
    await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, address, resolve))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    throw new ConfigError([{ variable: 'SOURCE_ADDRESS', problem: `is not an address of this machine (${code})` }])
  } finally {
    probe.close()
  }
}
