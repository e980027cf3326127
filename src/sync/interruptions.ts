/** The server gives fewer jobs a page than asked: the pass begins anew with its number. */
export class SmallerLimitError extends Error {
  override readonly name = 'SmallerLimitError'
  readonly limit: number

  constructor(limit: number) {
    super(`The API lists no more than ${limit} jobs a page`)
    this.limit = limit
  }
}

/** The server gives more jobs a page than asked: pages begin where it wants, and overlapping ones cannot be had. */
export class FixedLimitError extends Error {
  override readonly name = 'FixedLimitError'
}

/** The API lists two accounts in turn. What was read may belong to either. */
export class TwoListsError extends Error {
  override readonly name = 'TwoListsError'
  readonly code = 'two_lists'

  constructor() {
    super('The API answers with the lists of two accounts in turn: check SPIDRA_API_URL and what stands between')
  }
}

/** The pass stopped at a slice as requested: all that it read is merged, and the next run goes on from there. */
export class YieldError extends Error {
  override readonly name = 'YieldError'
  readonly code = 'handed_on'

  constructor() {
    super('The run stopped here, so that the next one goes on from its position')
  }
}
