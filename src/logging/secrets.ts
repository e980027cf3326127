import { createRedact } from './redact.js'

/** The secrets of this process. More may become known while it runs; none is ever forgotten. */
export interface Secrets {
  readonly all: readonly string[]
  add(more: readonly string[]): void
  /** Takes those that are known by now out of a text. */
  redact(text: string): string
}

/** Keeps secrets, each once. */
export function createSecrets(first: readonly string[]): Secrets {
  let all: readonly string[] = first
  return {
    get all() {
      return all
    },
    add(more) {
      if (more.some((secret) => !all.includes(secret))) all = Object.freeze([...new Set([...all, ...more])])
    },
    redact: (text) => createRedact(all)(text),
  }
}
