/** Wrong passwords that a client may send within a window. */
const MAX_FAILURES = 10

/** Begins with a client's first wrong password, in milliseconds. 2,880 guesses a day find no good password. */
const WINDOW_MS = 5 * 60_000

/** Clients that are remembered: nobody can fill our memory by asking from many addresses. */
const MAX_CLIENTS = 1_000

/** Counts wrong passwords by client, in memory. */
export interface FailedPasswords {
  /** Milliseconds until the client may try again, whatever it sends; 0: now. */
  waitOf(address: string): number
  /** Counts one more. True: it was the last one of this window. */
  note(address: string): boolean
}

/** @param now milliseconds on a clock that never goes back. */
export function createFailedPasswords(now: () => number = () => performance.now()): FailedPasswords {
  // In the order in which the windows began, so what is out of date stands first.
  const failures = new Map<string, { readonly until: number; count: number }>()

  function current(client: string) {
    const found = failures.get(client)
    return found !== undefined && found.until > now() ? found : null
  }

  return {
    waitOf(address) {
      const found = current(clientOf(address))
      return found !== null && found.count >= MAX_FAILURES ? found.until - now() : 0
    },
    note(address) {
      const client = clientOf(address)
      const found = current(client) ?? { until: now() + WINDOW_MS, count: 0 }
      found.count += 1
      if (found.count === 1) {
        failures.delete(client)
        failures.set(client, found)
      }
      const [oldest] = failures.keys()
      if (failures.size > MAX_CLIENTS && oldest !== undefined) failures.delete(oldest)
      return found.count === MAX_FAILURES
    },
  }
}

/** Who asks: an IPv4 address, also where IPv6 carries it, or an IPv6 network, in which one machine has every address. */
function clientOf(address: string): string {
  const ipv4 = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (ipv4 !== undefined) return ipv4
  const [left = [], right = []] = address.split('::').map((part) => part.split(':').filter(Boolean))
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}
