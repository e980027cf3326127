import { EventEmitter, once } from 'node:events'
import { expect, test } from 'vitest'
import { boundReadiness } from '../../src/http/readiness.js'

const READY = { database: { ok: true, detail: 'answers' } }

test('passes on what the check says', async () => {
  await expect(boundReadiness(async () => READY)()).resolves.toEqual(READY)
})

test('a check that hangs counts as failed after the limit', async () => {
  const readiness = boundReadiness(() => new Promise(() => {}), 20)

  await expect(readiness()).resolves.toEqual({ readiness: { ok: false, detail: 'no answer within 20 ms' } })
})

test('a check that throws, at once or later, counts as failed and says nothing of the error', async () => {
  const failed = { readiness: { ok: false, detail: 'the check itself failed' } }

  await expect(boundReadiness(() => Promise.reject(new Error('canary')))()).resolves.toEqual(failed)
  await expect(
    boundReadiness(() => {
      throw new Error('canary')
    })(),
  ).resolves.toEqual(failed)
})

test('does not start a second check while one hangs, and asks anew once it has ended', async () => {
  let started = 0
  const hanging = new EventEmitter()
  const readiness = boundReadiness(async () => {
    started += 1
    if (started === 1) await once(hanging, 'end')
    return READY
  }, 20)

  await Promise.all([readiness(), readiness(), readiness()])
  expect(started).toBe(1)

  hanging.emit('end')
  await expect(readiness()).resolves.toEqual(READY)
  await readiness()
  expect(started).toBe(2)
})
