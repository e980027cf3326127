/** The server gives fewer jobs a page than asked: the pass begins anew with its number. */
export class SmallerLimitError extends Error {
  override readonly name = 'SmallerLimitError'
  readonly limit: number

  constructor(limit: number) {
    super(`The API lists no more than ${limit} jobs a page`)
    this.limit = limit
  }
}

/** The pass stopped at a stretch, as it was told: all that it read is merged, and the next run goes on from there. */
export class HandedOnError extends Error {
  override readonly name = 'HandedOnError'
  readonly code = 'handed_on'

  constructor() {
    super('The run stopped here, so that the next one goes on from its position')
  }
}
