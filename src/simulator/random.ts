/**
 * Randomness without a state: what is drawn depends on nothing but the seed, a job's number and the trait drawn.
 * So a job need not be kept to be the same when it is asked for again.
 */

/** One number for each thing drawn, so that no two traits of a job go together. */
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
} as const

/** A seed spread over 32 bits, as the other functions take it. */
export function toSeedKey(seed: number): number {
  return mix(seed ^ 0x5b1d8a)
}

/** The 32 bits a job is drawn from. Different numbers below 2^32 never share them: `mix` is one to one. */
export function toIdentity(seedKey: number, number: number): number {
  return mix(number ^ seedKey)
}

/** The number that `toIdentity` made an identity of. */
export function fromIdentity(seedKey: number, identity: number): number {
  return (unmix(identity) ^ seedKey) >>> 0
}

/** 32 even bits for one trait of one job. */
export function draw(identity: number, trait: number): number {
  return mix(identity + Math.imul(trait, 0x9e3779b9))
}

/** A number from 0 up to, but not including, 1. */
export function drawShare(identity: number, trait: number): number {
  return draw(identity, trait) / 2 ** 32
}

/** A whole number from `low` to `high`, both included. */
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

/** Each step of `mix` undone, last first: the factors are the inverses modulo 2^32. */
function unmix(value: number): number {
  let bits = value ^ (value >>> 16)
  bits = Math.imul(bits, 0x7ed1b41d)
  bits = Math.imul(bits ^ (bits >>> 13) ^ (bits >>> 26), 0xa5cb9243)
  return (bits ^ (bits >>> 16)) >>> 0
}
