import { expect, test } from 'vitest'
import { growth, type Vitals } from './vitals.js'

const MARGINS = { rssMb: 16, descriptors: 3, connections: 2 }

/** A hundred samples. `at` gives the values that differ from the default. */
const samplesOf = (at: (index: number) => Partial<Vitals>) =>
  Array.from({ length: 100 }, (_, index) => ({ rssMb: 200, descriptors: 30, connections: 5, ...at(index) }))

test('names what grows without end', () => {
  expect(
    growth(
      samplesOf((index) => ({ rssMb: 100 + index })),
      MARGINS,
    ),
  ).toEqual(['rssMb went from 162 to 187'])
  expect(
    growth(
      samplesOf((index) => ({ descriptors: index, connections: index })),
      MARGINS,
    ),
  ).toEqual(['descriptors went from 62 to 87', 'connections went from 62 to 87'])
})

test('does not count as growth: a start that settles, a sawtooth, or what cannot be measured', () => {
  expect(
    growth(
      samplesOf((index) => ({ rssMb: 300 - 100 / (index + 1) + 10 * (index % 5) })),
      MARGINS,
    ),
  ).toEqual([])
  expect(
    growth(
      samplesOf(() => ({ rssMb: null, descriptors: null })),
      MARGINS,
    ),
  ).toEqual([])
})
