/**
 * Random numbers without state: a number depends only on the seed, a job's number and the trait drawn. So a job need
 * not be stored to be the same the next time.
 */

/** A number for each trait, so that the traits of a job are drawn independently. */
export const TRAIT = {
  uuidSecond: 1,
  uuidThird: 2,
  uuidFourth: 3,
  tie: 4,
  instant: 5,
  fraction: 6,
  totalUrls: 7,
  queue: 8,
  pace: 9,
  fate: 10,
  failures: 11,
  cancelledAt: 12,
  retried: 13,
  retryPause: 14,
  retryFailures: 15,
  format: 16,
  channel: 17,
  oddity: 18,
  oddityKind: 19,
  removal: 20,
  fault: 21,
  backend: 22,
  itemSite: 23,
  itemPage: 24,
  itemCredits: 25,
  itemScreenshot: 26,
  itemShape: 27,
  /** The price of the n-th row of a result is drawn from the n-th trait after this one. */
  itemResult: 28,
} as const

/** Spreads a seed over 32 bits, for the other functions. */
export function toSeedKey(seed: number): number {
  return mix(seed ^ 0x5b1d8a)
}

/** The 32 bits that all traits of a job are drawn from. They differ for all numbers below 2^32: `mix` is one to one. */
export function toIdentity(seedKey: number, number: number): number {
  return mix(number ^ seedKey)
}

/** The inverse of `toIdentity`. */
export function fromIdentity(seedKey: number, identity: number): number {
  return (unmix(identity) ^ seedKey) >>> 0
}

/** Draws 32 bits for one trait of one job. */
export function draw(identity: number, trait: number): number {
  return mix(identity + Math.imul(trait, 0x9e3779b9))
}

/** Draws a number from 0 to less than 1. */
export function drawShare(identity: number, trait: number): number {
  return draw(identity, trait) / 2 ** 32
}

/** Draws a whole number from `low` to `high`, both included. */
export function drawBetween(identity: number, trait: number, low: number, high: number): number {
  return low + Math.floor(drawShare(identity, trait) * (high - low + 1))
}

/** The finalizer of MurmurHash3 (public domain, Austin Appleby). */
function mix(value: number): number {
  let bits = value
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}

/** Undoes the steps of `mix` in reverse order: the factors are the inverses modulo 2^32. */
function unmix(value: number): number {
  let bits = value ^ (value >>> 16)
  bits = Math.imul(bits, 0x7ed1b41d)
  bits = Math.imul(bits ^ (bits >>> 13) ^ (bits >>> 26), 0xa5cb9243)
  return (bits ^ (bits >>> 16)) >>> 0
}
