import type { Micros } from './instant.js'
import { fromUuid, type JobLook, toJobText, toUuid } from './job.js'

/** What each job number looks like: generated, unless its text was set by hand. */
export interface JobBook {
  textOf(number: number, present: Micros): string
  /** Undefined for an item set by hand that has none. */
  uuidOf(number: number): string | undefined
  /** The job that has this uuid now; null if none has. */
  numberOf(uuid: string): number | null
  /** From now on the job is this JSON, whatever the clock says. */
  setText(number: number, text: string): void
}

export function createJobBook(look: JobLook, createdAtOf: (number: number) => Micros): JobBook {
  const texts = new Map<number, string>()
  const numbersByGivenUuid = new Map<string, number>()

  function uuidOf(number: number): string | undefined {
    const text = texts.get(number)
    return text === undefined ? toUuid(look.seedKey, number) : readUuid(text)
  }

  return {
    textOf: (number, present) => texts.get(number) ?? toJobText(look, number, createdAtOf(number), present),
    uuidOf,
    numberOf(uuid) {
      const number = numbersByGivenUuid.get(uuid) ?? fromUuid(look.seedKey, uuid)
      return number !== null && uuidOf(number) === uuid ? number : null
    },
    setText(number, text) {
      texts.set(number, text)
      const uuid = readUuid(text)
      if (uuid !== undefined) numbersByGivenUuid.set(uuid, number)
    },
  }
}

function readUuid(text: string): string | undefined {
  const item: unknown = JSON.parse(text)
  if (typeof item !== 'object' || item === null || !('uuid' in item)) return undefined
  return typeof item.uuid === 'string' ? item.uuid : undefined
}
