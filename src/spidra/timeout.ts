/** A signal with a time limit. Dispose of it when the work is done. */
export interface Timeout extends Disposable {
  readonly signal: AbortSignal
  /** Whether the limit passed; false when only the parent aborted. */
  readonly timedOut: boolean
}

/** Aborts with `parent`, or after `ms`. Unlike `AbortSignal.any` it leaves nothing behind on a long-lived parent. */
export function startTimeout(parent: AbortSignal, ms: number): Timeout {
  const controller = new AbortController()
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    controller.abort()
  }, ms)
  const abort = () => controller.abort(parent.reason)
  if (parent.aborted) abort()
  parent.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    get timedOut() {
      return timedOut
    },
    [Symbol.dispose]() {
      clearTimeout(timer)
      parent.removeEventListener('abort', abort)
    },
  }
}
