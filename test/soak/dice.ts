import { drawShare, TRAIT, toIdentity, toSeedKey } from '../../src/simulator/random.js'

/** A sequence of random numbers that depends only on the seed. */
export interface Dice {
  /** From 0 to less than 1. */
  share(): number
  /** A whole number from 0 to less than `count`. */
  below(count: number): number
}

export function createDice(seed: number): Dice {
  const seedKey = toSeedKey(seed)
  let drawn = 0
  function share(): number {
    drawn += 1
    return drawShare(toIdentity(seedKey, drawn), TRAIT.fate)
  }
  return { share, below: (count) => Math.floor(share() * count) }
}
