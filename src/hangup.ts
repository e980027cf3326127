/** The process as far as SIGHUP is concerned. */
export interface HangupSource {
  on(name: 'SIGHUP', listener: () => void): unknown
  off(name: 'SIGHUP', listener: () => void): unknown
}

/** Calls the listener on every SIGHUP, which without any listener ends a process. Returns what takes it off again. */
export function onHangup(source: HangupSource, listener: () => void): () => void {
  source.on('SIGHUP', listener)
  return () => void source.off('SIGHUP', listener)
}
