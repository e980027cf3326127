/** One variable that cannot be used. The problem never repeats the value, which may be a secret. */
export interface ConfigProblem {
  readonly variable: string
  readonly problem: string
}

/** The configuration cannot be used. Names every bad variable at once, one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'bad_config'
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[], options: { cause?: unknown } = {}) {
    super(problems.map(({ variable, problem }) => `${variable} ${problem}`).join('\n'), options)
    this.problems = problems
  }
}

/** The command line cannot be used: exit code 2. The message names the flag. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError'
}

/** A flag, or two together, cannot be used. The help of the command follows the message. */
export class FlagError extends UsageError {
  override readonly name = 'FlagError'
}
