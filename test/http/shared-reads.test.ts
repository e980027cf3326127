import { EventEmitter, once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { bound, createSharedReads } from '../../src/http/shared-reads.js'

/** Reads that end when the test decides. */
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

describe('shared reads', () => {
  test('the same question during a read, or within a second after it, gets the same answer', async () => {
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

  test('a failure is passed on, not shared, and does not stop the next read', async () => {
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

  test('refuses more than twenty different questions at once', async () => {
    const { ask } = heldReads()

    for (let n = 0; n < 20; n += 1) void ask(String(n))
    await expect(ask('one more')).rejects.toThrow('Too many')
  })
})

describe('bound work', () => {
  test('passes on an answer that comes in time', async () => {
    await expect(
      bound(
        async () => 'answer',
        20,
        () => 'late',
      )(),
    ).resolves.toBe('answer')
  })

  test('answers late after the limit', async () => {
    const work = bound(
      () => new Promise<string>(() => {}),
      20,
      () => 'late',
    )

    await expect(work()).resolves.toBe('late')
  })

  test('starts no second call while one hangs, and starts one after that', async () => {
    let started = 0
    const hanging = new EventEmitter()
    const work = bound(
      async () => {
        started += 1
        if (started === 1) await once(hanging, 'end')
        return 'answer'
      },
      20,
      () => 'late',
    )

    await Promise.all([work(), work(), work()])
    expect(started).toBe(1)

    hanging.emit('end')
    await expect(work()).resolves.toBe('answer')
    await work()
    expect(started).toBe(2)
  })
})
