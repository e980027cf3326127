import { drawShare, TRAIT, toIdentity, toSeedKey } from '../../src/simulator/random.js'

/** Random numbers of one seed. */
export interface Dice {
  /** From 0 up to, but not including, 1. */
  share(): number
  /** A whole number from 0 up to, but not including, `count`. */
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
