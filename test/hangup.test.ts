import { EventEmitter } from 'node:events'
import { expect, test, vi } from 'vitest'
import { onHangup } from '../src/hangup.js'

test('every SIGHUP is heard until the subscription ends; then it has its usual effect again', () => {
  const source = new EventEmitter()
  const listener = vi.fn()

  const end = onHangup(source, listener)
  source.emit('SIGHUP')
  source.emit('SIGHUP')
  end()
  source.emit('SIGHUP')

  expect(listener).toHaveBeenCalledTimes(2)
  expect(source.listenerCount('SIGHUP')).toBe(0)
})
