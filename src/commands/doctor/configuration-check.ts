import type { UsableConfig } from '../../config/usable.js'
import { type Finding, fail, ok, warn } from './check.js'

/** Node's own floor of the libraries in use. */
const OLDEST_NODE = [20, 19] as const

/** @param version as in `process.versions.node` */
export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])
  const found = `Node ${version}.`
  return isOld ? fail(found, `spidra-sync needs Node ${OLDEST_NODE.join('.')} or later.`) : ok(found)
}

export function checkConfiguration({ problems, warnings }: UsableConfig): Finding {
  if (problems.length > 0) {
    const faults = problems.map(({ variable, problem }) => `${variable} ${problem}`)
    return fail(`${[...faults, ...warnings].join('. ')}.`, '.env.example explains every variable.')
  }
  if (warnings.length > 0) return warn(`${warnings.join('. ')}.`)
  return ok('Every variable can be used.')
}
