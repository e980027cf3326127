/** So long an answer is given to others too, in milliseconds. */
const SHARED_MS = 1_000

/** Whoever comes when so many different questions wait is turned away. */
const MAX_WAITING = 20

/** More different questions wait than can be answered soon. */
export class TooManyQuestionsError extends Error {
  override readonly name = 'TooManyQuestionsError'
}

/**
 * Wraps `read` for many readers: one question at a time, and whoever asks the same while it is under way, or within a
 * second of its end, gets the same answer. So a wall of screens costs the database no more than one.
 *
 * @param now milliseconds on a clock that never goes back.
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
      // A failure is not kept: the next one may find the database again.
      () => void answers.delete(key),
    )
    return answer
  }
}
