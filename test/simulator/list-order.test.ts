import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRoll, FIRST_ADDED } from '../../src/simulator/list-order.js'

const changes = fc.array(
  fc.record({ kind: fc.constantFrom('grow', 'add', 'remove', 'restore'), at: fc.nat(1000), createdAt: fc.nat(3) }),
  { maxLength: 60 },
)

/** The same in the plainest way: every job in an array, oldest first. */
test('lists what a plain array would, whatever came and went', () => {
  fc.assert(
    fc.property(fc.nat(30), changes, (start, steps) => {
      const roll = createRoll()
      let generated = start
      let added = 0
      let plain = Array.from({ length: start }, (_, number) => ({ number, createdAt: 0 }))
      const gone: number[] = []

      for (const { kind, at, createdAt } of steps) {
        const victim = plain[at % Math.max(1, plain.length)]
        if (kind === 'grow') {
          plain.push({ number: generated, createdAt: 0 })
          generated += 1
        } else if (kind === 'add') {
          const anchor = at % (generated + 1)
          const job = { number: FIRST_ADDED + added, anchor, createdAt }
          added += 1
          roll.add(job)
          const isBelow = (other: (typeof plain)[number] & { anchor?: number }) =>
            other.number < FIRST_ADDED
              ? other.number < anchor
              : (other.anchor ?? 0) < anchor || (other.anchor === anchor && other.createdAt <= createdAt)
          plain = [...plain.filter(isBelow), job, ...plain.filter((other) => !isBelow(other))]
        } else if (kind === 'remove' && victim !== undefined) {
          roll.remove(victim.number)
          plain = plain.filter((job) => job !== victim)
          if (victim.number < FIRST_ADDED) gone.push(victim.number)
          expect(roll.has(victim.number, generated)).toBe(false)
        } else if (kind === 'restore') {
          const number = gone.pop()
          if (number === undefined) continue
          roll.restore(number)
          const place = plain.findIndex((job: { number: number; anchor?: number }) =>
            job.number < FIRST_ADDED ? job.number > number : (job.anchor ?? 0) > number,
          )
          plain.splice(place < 0 ? plain.length : place, 0, { number, createdAt: 0 })
        }
        expect(roll.size(generated)).toBe(plain.length)
      }

      expect(plain.map((_, position) => roll.numberAt(position))).toEqual(plain.map((job) => job.number))
      for (const job of plain) expect(roll.has(job.number, generated)).toBe(true)
    }),
    { numRuns: 500 },
  )
})
