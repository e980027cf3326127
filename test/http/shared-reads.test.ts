import { expect, test } from 'vitest'
import { createSharedReads } from '../../src/http/shared-reads.js'

/** Reads that end when the test says so. */
function heldReads() {
  const asked: {
    readonly question: string
    readonly resolve: (answer: string) => void
    readonly reject: (e: Error) => void
  }[] = []
  const clock = { ms: 0 }
  const read = (question: string) =>
    new Promise<string>((resolve, reject) => void asked.push({ question, resolve, reject }))
  return { asked, clock, ask: createSharedReads(read, () => clock.ms) }
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

test('whoever asks the same while it is read, or within a second of it, gets the same answer', async () => {
  const { asked, clock, ask } = heldReads()

  const both = [ask('a'), ask('a')]
  await settled()
  expect(asked).toHaveLength(1)
  asked[0]?.resolve('one')
  expect(await Promise.all(both)).toEqual(['one', 'one'])
  clock.ms = 999
  expect(await ask('a')).toBe('one')
  clock.ms = 1_000
  void ask('a')
  await settled()
  expect(asked).toHaveLength(2)
})

test('different questions are read one after the other', async () => {
  const { asked, ask } = heldReads()

  const answers = [ask('a'), ask('b')]
  await settled()
  expect(asked.map(({ question }) => question)).toEqual(['a'])
  asked[0]?.resolve('one')
  await settled()
  asked[1]?.resolve('two')
  expect(await Promise.all(answers)).toEqual(['one', 'two'])
})

test('a failure is told, not kept, and does not stop the next', async () => {
  const { asked, ask } = heldReads()

  const first = ask('a')
  await settled()
  asked[0]?.reject(new Error('away'))
  await expect(first).rejects.toThrow('away')
  const second = ask('a')
  await settled()
  asked[1]?.resolve('back')
  expect(await second).toBe('back')
})

test('more than twenty different questions at once are turned away', async () => {
  const { ask } = heldReads()

  for (let n = 0; n < 20; n += 1) void ask(String(n))
  await expect(ask('one more')).rejects.toThrow('too many'.replace('t', 'T'))
})
