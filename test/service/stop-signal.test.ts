import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { onStopSignal, type SignalSource } from '../../src/service/stop-signal.js'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

/** A process as far as signals are concerned. */
function fakeProcess() {
  const source: SignalSource & EventEmitter = Object.assign(new EventEmitter(), { exit: vi.fn() })
  return source
}

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const)('the first %s aborts, and does not end the process', (name, exitCode) => {
  const source = fakeProcess()
  const stop = onStopSignal(source)
  expect(stop).toMatchObject({ exitCode: null, signal: { aborted: false } })

  source.emit(name)

  expect(stop).toMatchObject({ exitCode, signal: { aborted: true, reason: new Error(`Stopped by ${name}`) } })
  expect(source.exit).not.toHaveBeenCalled()
})

test('a second signal ends the process at once, with the code of the second', () => {
  const source = fakeProcess()
  onStopSignal(source)
  source.emit('SIGTERM')
  vi.advanceTimersByTime(200)

  source.emit('SIGINT')

  expect(source.exit).toHaveBeenCalledExactlyOnceWith(130)
})

test('a Ctrl-C that arrives twice, from the terminal and from npm, counts as one', () => {
  const source = fakeProcess()
  onStopSignal(source)

  source.emit('SIGINT')
  vi.advanceTimersByTime(100)
  source.emit('SIGINT')

  expect(source.exit).not.toHaveBeenCalled()
})

test('a second SIGHUP does not end the process: system and shell both send one when a terminal closes', () => {
  const source = fakeProcess()
  onStopSignal(source)
  source.emit('SIGHUP')
  vi.advanceTimersByTime(200)

  source.emit('SIGHUP')

  expect(source.exit).not.toHaveBeenCalled()
})

test('SIGHUP does not stop the process while it has a listener', () => {
  const source = fakeProcess()
  const stop = onStopSignal(source)
  const listener = vi.fn()

  const end = stop.onHangup(listener)
  source.emit('SIGHUP')
  source.emit('SIGHUP')

  expect(listener).toHaveBeenCalledTimes(2)
  expect(stop.signal.aborted).toBe(false)
  end()
  source.emit('SIGHUP')
  expect(listener).toHaveBeenCalledTimes(2)
  expect(stop).toMatchObject({ exitCode: 129, signal: { aborted: true } })
})

test('the end of the grace ends the process', () => {
  const source = fakeProcess()
  onStopSignal(source).limit(500)
  source.emit('SIGTERM')

  vi.advanceTimersByTime(499)
  expect(source.exit).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)

  expect(source.exit).toHaveBeenCalledExactlyOnceWith(143)
})

test('a request to stop aborts without a signal and its exit code', () => {
  const source = fakeProcess()
  const stop = onStopSignal(source)

  stop.request()

  expect(stop).toMatchObject({ exitCode: null, signal: { aborted: true } })
  vi.advanceTimersByTime(1_000)
  source.emit('SIGTERM')
  expect(source.exit).toHaveBeenCalledExactlyOnceWith(143)
})

test('removes its handlers when disposed of', () => {
  const source = fakeProcess()

  onStopSignal(source).dispose()

  expect(source.eventNames()).toEqual([])
})
