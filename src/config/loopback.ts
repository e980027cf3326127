import { isIPv4 } from 'node:net'

/**
 * Whether `host` can only be this machine: `localhost`, 127.0.0.0/8 or `::1`, brackets allowed.
 * Names are not resolved, so any other name counts as foreign.
 */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase()
  return name === 'localhost' || name === '::1' || name === '[::1]' || (isIPv4(name) && name.startsWith('127.'))
}
