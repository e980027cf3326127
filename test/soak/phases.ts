import { FAULT_KINDS, type FaultKind } from '../../src/simulator/faults.js'
import type { Dice } from './dice.js'

/**
 * `quiet`: no fault. `faults`: every kind at once. `limited`: the same, and others use up most of the request budget.
 * `lying`: every answer tells a total that never balances, so that no run can be complete.
 */
export type PhaseKind = 'quiet' | 'faults' | 'limited' | 'lying'

export interface Phase {
  readonly kind: PhaseKind
  readonly ms: number
}

export type Rates = Readonly<Partial<Record<FaultKind, number>>>

/** A refusal without retries ends the run, so with more of it hardly a run would come to its verdict. */
const HIGHEST_RATES: Rates = { http402: 0.01 }

/** Of all answers; with more, hardly a page would come through in six attempts. */
const MOST_FAULTY = 0.55

/** How the time is spent: after a warm-up faults of all forms, each followed by quiet, until the time is over. */
export function planPhases(minutes: number): readonly Phase[] {
  const totalMs = minutes * 60_000
  // A soak of a minute sees every phase once; a long one stays longer in each, so that what is slow to show can show.
  const unit = Math.min(60_000, totalMs / 4.6)
  const round: readonly Phase[] = [
    { kind: 'faults', ms: unit },
    { kind: 'quiet', ms: unit / 3 },
    { kind: 'limited', ms: unit },
    { kind: 'quiet', ms: unit / 3 },
    { kind: 'lying', ms: unit / 3 },
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

/** Shares of all kinds for a phase, each drawn anew. */
export function drawRates(kind: PhaseKind, dice: Dice): Rates {
  if (kind === 'quiet') return {}
  if (kind === 'lying') return { wrongTotal: 1 }
  const total = MOST_FAULTY * (0.3 + 0.7 * dice.share())
  const weights = FAULT_KINDS.map((fault) => [fault, 0.1 + dice.share()] as const)
  const sum = weights.reduce((all, [, weight]) => all + weight, 0)
  return Object.fromEntries(
    weights.map(([fault, weight]) => [fault, Math.min((weight / sum) * total, HIGHEST_RATES[fault] ?? 1)]),
  )
}
