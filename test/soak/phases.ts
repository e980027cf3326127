import { FAULT_KINDS, type FaultKind } from '../../src/simulator/faults.js'
import type { Dice } from './dice.js'

/**
 * `quiet`: no faults. `faults`: every kind at once. `limited`: the same, and others use up most of the request budget.
 * `wrongTotals`: every answer has a wrong total, so that no run can be complete.
 */
export type PhaseKind = 'quiet' | 'faults' | 'limited' | 'wrongTotals'

export interface Phase {
  readonly kind: PhaseKind
  readonly ms: number
}

export type Rates = Readonly<Partial<Record<FaultKind, number>>>

/** A 402 is not retried and ends the run. With more of them hardly any run would reach its verdict. */
const HIGHEST_RATES: Rates = { http402: 0.01 }

/** Largest share of faulty answers. With more, hardly any page would be read in six attempts. */
const MOST_FAULTY = 0.55

/**
 * Plans the phases of a soak: after a warm-up phases of faults, each followed by a quiet one, until the time is over.
 */
export function planPhases(minutes: number): readonly Phase[] {
  const totalMs = minutes * 60_000
  // A soak of a minute has every phase once. In a long one the phases are longer, so that slow effects can show.
  const unit = Math.min(60_000, totalMs / 4.6)
  const round: readonly Phase[] = [
    { kind: 'faults', ms: unit },
    { kind: 'quiet', ms: unit / 3 },
    { kind: 'limited', ms: unit },
    { kind: 'quiet', ms: unit / 3 },
    { kind: 'wrongTotals', ms: unit / 3 },
    { kind: 'quiet', ms: unit / 6 },
    { kind: 'faults', ms: unit },
    { kind: 'quiet', ms: unit / 3 },
  ]
  const phases: Phase[] = [{ kind: 'quiet', ms: unit / 10 }]
  let left = totalMs - unit / 10
  for (let next = 0; left > 0 || phases.at(-1)?.kind !== 'quiet'; next = (next + 1) % round.length) {
    const phase = round[next] ?? { kind: 'quiet', ms: unit }
    phases.push(phase)
    left -= phase.ms
  }
  return phases
}

/** Draws the rates of all faults for a phase. */
export function drawRates(kind: PhaseKind, dice: Dice): Rates {
  if (kind === 'quiet') return {}
  if (kind === 'wrongTotals') return { wrongTotal: 1 }
  const total = MOST_FAULTY * (0.3 + 0.7 * dice.share())
  const weights = FAULT_KINDS.map((fault) => [fault, 0.1 + dice.share()] as const)
  const sum = weights.reduce((all, [, weight]) => all + weight, 0)
  return Object.fromEntries(
    weights.map(([fault, weight]) => [fault, Math.min((weight / sum) * total, HIGHEST_RATES[fault] ?? 1)]),
  )
}
