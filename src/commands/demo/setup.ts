import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'

/**
 * After so long away a new account begins: what would have arrived meanwhile is no demo any more. So it does after a clock
 * was set back, because the account is of the future then.
 */
const MAX_AGE_MS = 12 * 60 * 60_000

const demoState = z.object({
  /** When the simulated account came to life, in epoch milliseconds: the same gives the same jobs again. */
  epoch: z.number(),
  seed: z.int(),
  /** Of the read-only role; kept, so that connections of BI tools go on working. */
  readerPassword: z.string().min(1),
})

/** What the demo keeps between two starts. */
export type DemoState = Readonly<z.infer<typeof demoState>> & { readonly isNewAccount: boolean }

/**
 * Reads the state, or begins anew where there is none or it is half a day old. A file that cannot be read as a state is
 * replaced: it holds nothing of worth.
 *
 * @param now epoch milliseconds.
 */
export async function openDemoState(path: string, now: number): Promise<DemoState> {
  const stored = await readState(path)
  const ageMs = now - (stored?.epoch ?? 0)
  if (stored !== null && ageMs >= 0 && ageMs < MAX_AGE_MS) return { ...stored, isNewAccount: false }
  const state = {
    epoch: now,
    seed: (stored?.seed ?? 0) + 1,
    readerPassword: stored?.readerPassword ?? randomBytes(12).toString('base64url'),
  }
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `${JSON.stringify(state)}\n`, { mode: 0o600 })
  return { ...state, isNewAccount: true }
}

async function readState(path: string): Promise<z.infer<typeof demoState> | null> {
  try {
    return demoState.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch {
    return null
  }
}
