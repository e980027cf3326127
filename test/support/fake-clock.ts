import { existsSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createFolder } from './cli.js'

/** Where Debian and other systems install it; `FAKETIME_LIBRARY` names any other path. */
const PLACES = [
  process.env.FAKETIME_LIBRARY ?? '',
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/faketime/libfaketime.so.1',
]

/** The path of libfaketime, which shows a process another time; null if it is not installed. */
export const FAKETIME = PLACES.find((path) => path !== '' && existsSync(path)) ?? null

/** Suffix for the names of tests that need it, on systems without it. */
export const FAKETIME_NOTE =
  FAKETIME === null ? ' (NOT RUN: needs libfaketime, on Debian `apt-get install libfaketime`)' : ''

/** A wall clock for processes that run with its environment. Their monotonic clock and timers are not changed. */
export interface FakeClock extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>
  /** How far the clock is ahead of the true one, in milliseconds. */
  readonly aheadMs: number
  /** Puts the clock this far ahead of the true one, or behind if negative. */
  put(aheadMs: number): Promise<void>
  /** Sets the clock to an instant; it goes on from there. */
  set(instant: string): Promise<void>
}

export async function createFakeClock(): Promise<FakeClock> {
  const folder = await createFolder()
  const file = join(folder.path, 'clock')
  let aheadMs = 0
  async function put(ms: number): Promise<void> {
    aheadMs = ms
    // In one step, so that no process reads a part of it.
    await writeFile(`${file}.new`, `${ms < 0 ? '-' : '+'}${(Math.abs(ms) / 1000).toFixed(3)}\n`)
    await rename(`${file}.new`, file)
  }
  await put(0)
  return {
    env: {
      LD_PRELOAD: FAKETIME ?? '',
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    },
    get aheadMs() {
      return aheadMs
    },
    put,
    set: (instant) => put(Date.parse(instant) - Date.now()),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}
