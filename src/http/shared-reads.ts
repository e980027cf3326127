import { setTimeout as sleep } from 'node:timers/promises'

/** An answer is shared for this long after it came, in milliseconds. */
const SHARED_MS = 1_000

/** Different questions that may wait at once; a further one is refused. */
const MAX_WAITING = 20

/** `MAX_WAITING` different questions are waiting already. */
export class TooManyQuestionsError extends Error {
  override readonly name = 'TooManyQuestionsError'
}

/**
 * Wraps `read` so that many readers cost the database no more than one. Different questions are read one after the other;
 * the same question, asked during a read or within a second after it, gets the same answer.
 *
 * @param now milliseconds on a clock that never goes back
 * @throws TooManyQuestionsError when 20 different questions are waiting
 */
export function createSharedReads<Question, Answer>(
  read: (question: Question) => Promise<Answer>,
  now: () => number = () => performance.now(),
): (question: Question) => Promise<Answer> {
  const answers = new Map<string, { readonly answer: Promise<Answer>; until: number }>()
  let last: Promise<unknown> = Promise.resolve()

  return async (question) => {
    for (const [key, { until }] of answers) if (until <= now()) answers.delete(key)
    const key = JSON.stringify(question)
    const found = answers.get(key)
    if (found !== undefined) return found.answer
    if (answers.size >= MAX_WAITING) throw new TooManyQuestionsError('Too many different pages are asked for at once')

    const answer = last.then(() => read(question))
    const entry = { answer, until: Number.POSITIVE_INFINITY }
    answers.set(key, entry)
    last = answer.then(
      () => {
        entry.until = now() + SHARED_MS
      },
      // A failure is not shared: the next read may succeed.
      () => void answers.delete(key),
    )
    return answer
  }
}

/**
 * Wraps `work` so that it answers within `limitMs`: after that `late` gives the answer. While a call hangs, no second one
 * is started, so that calls do not pile up on a slow database.
 */
export function bound<Answer>(work: () => Promise<Answer>, limitMs: number, late: () => Answer): () => Promise<Answer> {
  let pending: Promise<Answer> | null = null

  return async () => {
    pending ??= Promise.resolve()
      .then(work)
      .finally(() => {
        pending = null
      })
    const timer = new AbortController()
    const timeout = sleep(limitMs, undefined, { signal: timer.signal, ref: false }).then(late)
    // Nothing else handles a rejection of the one that loses the race.
    timeout.catch(() => {})
    pending.catch(() => {})
    try {
      return await Promise.race([pending, timeout])
    } finally {
      timer.abort()
    }
  }
}
