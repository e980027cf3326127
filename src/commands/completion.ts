import type { Argument, Command, Option } from 'commander'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** A word that can follow, and what it does. */
interface Word {
  readonly name: string
  readonly description: string
}

interface Flag extends Word {
  /** What may stand after it: one of a list, the name of a file, a text that nobody can guess, or nothing. */
  readonly value: readonly string[] | 'file' | 'text' | null
}

interface CommandWords extends Word {
  readonly flags: readonly Flag[]
  /** Values of its arguments, where they are a list. */
  readonly values: readonly string[]
}

/** Creates the script that completes the commands and flags of `program` in a shell. The script starts no process. */
export function toCompletionScript(program: Command, shell: Shell): string {
  const name = program.name()
  const commands = [wordsOf(program, ''), ...visible(program).map((command) => wordsOf(command, command.name()))]
  switch (shell) {
    case 'bash':
      return toBash(name, commands)
    case 'zsh':
      return toZsh(name, commands)
    case 'fish':
      return toFish(name, commands)
    default:
      return shell satisfies never
  }
}

function visible(command: Command): readonly Command[] {
  return command.createHelp().visibleCommands(command)
}

function wordsOf(command: Command, name: string): CommandWords {
  const help = command.createHelp()
  const options = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)]
  return {
    name,
    description: command.description(),
    flags: options.map(toFlag),
    values: help.visibleArguments(command).flatMap(({ argChoices }: Argument) => argChoices ?? []),
  }
}

function toFlag({ long, description, argChoices, flags, required, optional }: Option): Flag {
  const text = flags.includes('<file>') ? 'file' : 'text'
  return { name: long ?? flags, description, value: argChoices ?? (required || optional ? text : null) }
}

/** What can be typed next, where no flag waits for its value. */
function nextWords(command: CommandWords, commands: readonly CommandWords[]): readonly Word[] {
  const subcommands = command.name === '' ? commands.filter(({ name }) => name !== '') : []
  const values = command.values.map((name) => ({ name, description: '' }))
  return [...subcommands, ...values, ...command.flags]
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function toBash(name: string, commands: readonly CommandWords[]): string {
  const list = (words: readonly string[]) => `COMPREPLY=($(compgen -W ${quote(words.join(' '))} -- "$current"))`
  const complete = (value: NonNullable<Flag['value']>) =>
    value === 'file' ? 'COMPREPLY=($(compgen -f -- "$current"))' : value === 'text' ? ':' : list(value)
  const all = (command: CommandWords) => list(nextWords(command, commands).map((word) => word.name))
  return `# Load it with: source <(${name} completion bash)
_${toIdentifier(name)}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      ${namesOf(commands)}) command=$word; break ;;
    esac
  done
  COMPREPLY=()
  case "$command $previous" in
${flagCases(commands, complete)}
  esac
  case $command in
${commands.map((command) => `    ${quote(command.name)}) ${all(command)} ;;`).join('\n')}
  esac
}
complete -F _${toIdentifier(name)} ${name}
`
}

function toZsh(name: string, commands: readonly CommandWords[]): string {
  const complete = (value: NonNullable<Flag['value']>) =>
    value === 'file' ? '_files' : value === 'text' ? ':' : `compadd -- ${value.join(' ')}`
  const describe = (command: CommandWords) =>
    nextWords(command, commands)
      .map(({ name: word, description }) => quote(`${word}:${description}`))
      .join(' ')
  return `#compdef ${name}
# Load it with: source <(${name} completion zsh)
_${toIdentifier(name)}() {
  local command='' word
  local -a choices
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case $word in
      ${namesOf(commands)}) command=$word; break ;;
    esac
  done
  case "$command \${words[CURRENT-1]}" in
${flagCases(commands, complete)}
  esac
  case $command in
${commands.map((command) => `    ${quote(command.name)}) choices=(${describe(command)}) ;;`).join('\n')}
  esac
  _describe -o ${name} choices
}
if [ "$funcstack[1]" = _${toIdentifier(name)} ]; then _${toIdentifier(name)} "$@"; else compdef _${toIdentifier(name)} ${name}; fi
`
}

function toFish(name: string, commands: readonly CommandWords[]): string {
  const lines = commands.flatMap((command) => {
    const isProgram = command.name === ''
    const condition = isProgram ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${command.name}`
    const start = `complete -c ${name} -n ${quote(condition)}`
    const flags = command.flags.map(({ name: flag, description, value }) => {
      const given =
        value === null ? '' : value === 'file' ? ' -r -F' : value === 'text' ? ' -x' : ` -x -a '${value.join(' ')}'`
      return `${start} -l ${flag.replace(/^--/, '')}${given} -d ${toFishText(description)}`
    })
    const words = nextWords({ ...command, flags: [] }, commands)
    return [...words.map((word) => `${start} -a ${word.name} -d ${toFishText(word.description)}`), ...flags]
  })
  return [`# Load it with: ${name} completion fish | source`, `complete -c ${name} -f`, ...lines, ''].join('\n')
}

/** The cases of a flag that waits for its value, one line a flag of a command. */
function flagCases(commands: readonly CommandWords[], complete: (value: NonNullable<Flag['value']>) => string): string {
  return commands
    .flatMap((command) =>
      command.flags.flatMap(({ name, value }) =>
        value === null ? [] : [`    ${quote(`${command.name} ${name}`)}) ${complete(value)}; return ;;`],
      ),
    )
    .join('\n')
}

function namesOf(commands: readonly CommandWords[]): string {
  return commands.flatMap(({ name }) => (name === '' ? [] : [name])).join('|')
}

function toIdentifier(name: string): string {
  return name.replaceAll('-', '_')
}

/** Fish escapes a quote by a backslash. */
function toFishText(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}
