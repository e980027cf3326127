/** Signals within this time count as one: npm forwards the Ctrl-C that the terminal has already sent. */
const ONE_SIGNAL_MS = 150

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

/** The part of the process that deals with signals. */
export interface SignalSource {
  on(name: keyof typeof SIGNALS, listener: () => void): unknown
  off(name: keyof typeof SIGNALS, listener: () => void): unknown
  exit(code: number): void
}

export interface StopSignal {
  /** Aborts on the first SIGTERM, SIGINT or SIGHUP. */
  readonly signal: AbortSignal
  /** 128 + n when signal n began the stop; else null. */
  readonly exitCode: number | null
  /** Aborts without a signal, because nobody reads the output any more. */
  request(): void
  /** Calls the listener on every SIGHUP, which then does not stop the process. Returns a function that ends this. */
  onHangup(listener: () => void): () => void
  /** Leaves SIGINT to a program on the same terminal that this process waits for, such as psql. */
  leaveInterrupts(): void
  /** Sets how long an orderly stop may take, in milliseconds, before the process exits. Default 10 s. */
  limit(graceMs: number): void
  /** Removes the handlers, so that signals have their default effect. */
  dispose(): void
}

/** Turns the first signal into an abort. A second signal, or the end of the grace, ends the process at once. */
export function onStopSignal(source: SignalSource): StopSignal {
  const stopper = new AbortController()
  let stopped: { readonly exitCode: number | null; readonly at: number } | null = null
  let grace = 10_000
  let hangupListener: (() => void) | null = null
  let areInterruptsLeft = false

  function begin(exitCode: number | null, reason: string): void {
    stopped = { exitCode, at: performance.now() }
    setTimeout(() => source.exit(exitCode ?? 1), grace).unref()
    stopper.abort(new Error(reason))
  }

  function receive(name: keyof typeof SIGNALS): void {
    const exitCode = 128 + SIGNALS[name]
    if (stopped === null) begin(exitCode, `Stopped by ${name}`)
    // System and shell both send SIGHUP when a terminal closes, so a second one does not ask for haste.
    else if (name !== 'SIGHUP' && performance.now() - stopped.at > ONE_SIGNAL_MS) source.exit(exitCode)
  }
  const interrupt = () => {
    if (!areInterruptsLeft) receive('SIGINT')
  }
  const terminate = () => receive('SIGTERM')
  const hangUp = () => (hangupListener === null ? receive('SIGHUP') : hangupListener())
  source.on('SIGINT', interrupt)
  source.on('SIGTERM', terminate)
  source.on('SIGHUP', hangUp)

  return {
    signal: stopper.signal,
    get exitCode() {
      return stopped?.exitCode ?? null
    },
    request() {
      if (stopped === null) begin(null, 'Stopped because nobody reads the output')
    },
    onHangup(listener) {
      hangupListener = listener
      return () => {
        hangupListener = null
      }
    },
    leaveInterrupts() {
      areInterruptsLeft = true
    },
    limit(graceMs) {
      grace = graceMs
    },
    dispose() {
      source.off('SIGINT', interrupt)
      source.off('SIGTERM', terminate)
      source.off('SIGHUP', hangUp)
    },
  }
}
