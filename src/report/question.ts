import { z } from 'zod'

/** A value that stands for `$1`, `$2`, ... in a query. */
export type Parameter = 'account' | 'channel' | 'days' | 'step' | 'slice'

/** A question that the dashboard asks: what it runs is what it shows. */
export interface Question<Row extends z.ZodType = z.ZodType> {
  readonly title: string
  readonly sql: string
  /** In the order of `$1`, `$2`, ... */
  readonly parameters: readonly Parameter[]
  readonly row: Row
}

/** Stands in filters for jobs of which the API told no channel. */
export const NO_CHANNEL = '(none)'

export const count = z.bigint().transform(Number)
export const number = z.number().nullable()
export const instant = z.date().nullable()
export const text = z.string().nullable()

/** Keeps the type of its row. */
export function question<Row extends z.ZodType>(definition: Question<Row>): Question<Row> {
  return definition
}
